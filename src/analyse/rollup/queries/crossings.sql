-- What the requests of each endpoint ask of each service over the fast window.
-- Columns: service, entry, then the sums of entry_services. Ordered by the first two.
SELECT c.service, c.entry,
       SUM(c.calls)   AS calls,
       SUM(c.work_ns) AS work_ns
FROM entry_services c, tick t
WHERE c.second >= t.fast_from AND c.second < t.complete_to
GROUP BY c.service, c.entry
ORDER BY c.service, c.entry
