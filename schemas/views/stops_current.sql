SELECT stop_id, revision, device_id, started_at, ended_at,
       (CAST(ended_at AS BIGINT) - CAST(started_at AS BIGINT)) / 1000000.0 AS duration_s,
       lat, lon, fixes, trip_id, hired
FROM (
    SELECT *, row_number() OVER (PARTITION BY stop_id ORDER BY revision DESC) AS newest FROM stops
)
WHERE newest = 1
