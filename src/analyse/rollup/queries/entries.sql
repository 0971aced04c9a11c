-- How each endpoint did over the fast window: a histogram of durations, and how many requests missed.
-- Columns: entry, bucket, requests, slow, errors, missed, at_risk (not missed, but beyond half the objective), duration_ns,
-- adjusted_milli (thousandths of the requests that these stand for). Ordered by endpoint and bucket: quantiles need it.
SELECT e.entry, e.bucket,
       SUM(e.requests)    AS requests,
       SUM(e.slow)        AS slow,
       SUM(e.errors)      AS errors,
       SUM(e.missed)      AS missed,
       SUM(e.at_risk)        AS at_risk,
       SUM(e.duration_ns) AS duration_ns,
       SUM(e.adjusted_milli) AS adjusted_milli
FROM entry_seconds e, tick t
WHERE e.second >= t.fast_from AND e.second < t.complete_to
GROUP BY e.entry, e.bucket
ORDER BY e.entry, e.bucket
