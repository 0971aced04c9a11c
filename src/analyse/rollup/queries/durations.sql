-- A histogram of each service's request durations, waiting included, over the fast window.
-- Columns: service, bucket, requests. Ordered by service and bucket.
SELECT d.service, d.bucket, SUM(d.requests) AS requests
FROM service_durations d, tick t
WHERE d.second >= t.fast_from AND d.second < t.complete_to
GROUP BY d.service, d.bucket
ORDER BY d.service, d.bucket
