-- Where requests of the fast window that missed their objective spent more time than healthy requests of the same
-- endpoint. Failures are charged where they start (kinds `error`, `refused` and `gave_up`).
-- Endpoints with fewer requests than tick.at_risk_below also count requests at risk (slower than half the objective).
-- Columns: entry, service, operation, peer, kind, blame_ns, exclusive_ns, traces. Largest excess first within an endpoint.
WITH seen AS (
    SELECT e.entry,
           SUM(e.requests) < MAX(t.at_risk_below) AS with_at_risk,
           SUM(e.missed) AS missed,
           SUM(e.at_risk) AS at_risk
    FROM entry_seconds e, tick t
    WHERE e.second >= t.fast_from AND e.second < t.complete_to
    GROUP BY e.entry
),
counted AS (
    SELECT entry, with_at_risk, missed + CASE WHEN with_at_risk THEN at_risk ELSE 0 END AS traces
    FROM seen
),
spent AS (
    SELECT p.entry, p.service, p.operation, p.peer, p.kind, n.traces, SUM(p.exclusive_ns) AS exclusive_ns
    FROM path_seconds p, tick t, counted n
    WHERE p.entry = n.entry AND (p.missed OR p.at_risk AND n.with_at_risk)
      AND p.second >= t.fast_from AND p.second < t.complete_to
    GROUP BY p.entry, p.service, p.operation, p.peer, p.kind, n.traces
)
SELECT s.entry, s.service, s.operation, s.peer, s.kind,
       s.exclusive_ns - s.traces * COALESCE(b.ns_per_trace, 0) AS blame_ns,
       s.exclusive_ns,
       s.traces
FROM spent s
LEFT JOIN baseline_paths b
       ON b.entry = s.entry AND b.service = s.service AND b.operation = s.operation
      AND b.peer = s.peer AND b.kind = s.kind
WHERE s.exclusive_ns > s.traces * COALESCE(b.ns_per_trace, 0)
ORDER BY s.entry, blame_ns DESC, s.service, s.operation, s.peer, s.kind
