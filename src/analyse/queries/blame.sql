-- Whose time the missed traces of the fast window spent, above what healthy traces of the same entry
-- operation spend there. Failures are charged where they start (kinds `error`, `refused` and `gave_up`).
-- Columns: entry, service, operation, peer, kind, blame_ns, exclusive_ns, traces. Worst first within an entry.
WITH missed AS (
    SELECT e.entry, SUM(e.missed) AS traces
    FROM entry_seconds e, tick t
    WHERE e.second >= t.fast_from AND e.second < t.complete_to
    GROUP BY e.entry
),
spent AS (
    SELECT p.entry, p.service, p.operation, p.peer, p.kind, SUM(p.exclusive_ns) AS exclusive_ns
    FROM path_seconds p, tick t
    WHERE p.missed AND p.second >= t.fast_from AND p.second < t.complete_to
    GROUP BY p.entry, p.service, p.operation, p.peer, p.kind
)
SELECT s.entry, s.service, s.operation, s.peer, s.kind,
       s.exclusive_ns - m.traces * COALESCE(b.ns_per_trace, 0) AS blame_ns,
       s.exclusive_ns,
       m.traces
FROM spent s
JOIN missed m ON m.entry = s.entry
LEFT JOIN baseline_paths b
       ON b.entry = s.entry AND b.service = s.service AND b.operation = s.operation
      AND b.peer = s.peer AND b.kind = s.kind
WHERE s.exclusive_ns > m.traces * COALESCE(b.ns_per_trace, 0)
ORDER BY s.entry, blame_ns DESC, s.service, s.operation, s.peer, s.kind
