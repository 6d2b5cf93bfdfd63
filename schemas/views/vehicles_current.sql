SELECT device_id, state, since, lat, lon, speed_mps, hired, trip_id, trip_started_at, trip_m, event_time AS seen_at,
       (CAST(:clock AS BIGINT) - CAST(event_time AS BIGINT)) / 1000000.0 AS age_s
FROM (
    SELECT *, row_number() OVER (PARTITION BY device_id ORDER BY sequence DESC) AS newest
    FROM vehicles
    WHERE event_time > :clock - INTERVAL '7 days'
)
WHERE newest = 1
