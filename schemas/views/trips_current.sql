SELECT trip_id, revision, device_id, started_at, ended_at, start_lat, start_lon, end_lat, end_lon,
       (CAST(ended_at AS BIGINT) - CAST(started_at AS BIGINT)) / 1000000.0 AS duration_s,
       path_m, path_error_m, distance_m, distance_error_m, straight_m, gap_s, gap_m, inner_gap_s, inner_gap_m, idle_s,
       stops, fixes, speed_mps_max, close_reason, hired, path
FROM (
    SELECT *, row_number() OVER (PARTITION BY trip_id ORDER BY revision DESC) AS newest FROM trips
)
WHERE newest = 1
