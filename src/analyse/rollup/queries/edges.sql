-- Which service calls which over the fast window.
-- Columns: caller, its version, operation, callee, answered, then the sums of service_edges. Ordered by the same five.
SELECT e.caller, e.version, e.operation, e.callee, e.answered,
       SUM(e.calls)     AS calls,
       SUM(e.errors)    AS errors,
       SUM(e.caller_ns) AS caller_ns,
       SUM(e.callee_ns) AS callee_ns,
       SUM(e.gap_ns)    AS gap_ns,
       SUM(e.expected_milli) AS expected_milli
FROM service_edges e, tick t
WHERE e.second >= t.fast_from AND e.second < t.complete_to
GROUP BY e.caller, e.version, e.operation, e.callee, e.answered
ORDER BY e.caller, e.version, e.operation, e.callee, e.answered
