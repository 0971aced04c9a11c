-- Who calls whom over the fast window.
-- Columns: caller, callee, answered, calls, errors, caller_ns, callee_ns, gap_ns. Ordered by caller and callee.
SELECT e.caller, e.callee, e.answered,
       SUM(e.calls)     AS calls,
       SUM(e.errors)    AS errors,
       SUM(e.caller_ns) AS caller_ns,
       SUM(e.callee_ns) AS callee_ns,
       SUM(e.gap_ns)    AS gap_ns
FROM service_edges e, tick t
WHERE e.second >= t.fast_from AND e.second < t.complete_to
GROUP BY e.caller, e.callee, e.answered
ORDER BY e.caller, e.callee, e.answered
