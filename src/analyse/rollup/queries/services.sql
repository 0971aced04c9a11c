-- Each service, second by second, over the slow window (the fast window and the seconds before it that a trend needs).
-- Columns: service, second, then the sums of service_health. Ordered by service and second.
SELECT h.service, h.second,
       SUM(h.requests)       AS requests,
       SUM(h.errors)         AS errors,
       SUM(h.refused)        AS refused,
       SUM(h.gave_up)        AS gave_up,
       SUM(h.hold_ns)        AS hold_ns,
       SUM(h.own_ns)         AS own_ns,
       SUM(h.wait_ns)        AS wait_ns,
       SUM(h.sojourn_ns)     AS sojourn_ns,
       SUM(h.adjusted_milli) AS adjusted_milli,
       SUM(h.compared_own_ns) AS compared_own_ns,
       SUM(h.expected_own_ns) AS expected_own_ns,
       SUM(h.expected_callees_ns) AS expected_callees_ns,
       SUM(h.compared) AS compared,
       SUM(h.own_log) AS own_log,
       SUM(h.own_log_squares) AS own_log_squares
FROM service_health h, tick t
WHERE h.second >= t.slow_from AND h.second < t.complete_to
GROUP BY h.service, h.second
ORDER BY h.service, h.second
