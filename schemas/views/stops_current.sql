SELECT stop_id, revision, device_id, started_at, ended_at,
       date_part('epoch', ended_at) - date_part('epoch', started_at) AS duration_s,
       lat, lon, fixes, trip_id, hired
FROM (
    SELECT *, row_number() OVER (PARTITION BY stop_id ORDER BY revision DESC) AS newest FROM stops
)
WHERE newest = 1
