SELECT device_id, state, since, lat, lon, speed_mps, hired, trip_id, trip_started_at, trip_m, event_time AS seen_at,
       date_part('epoch', clock) - date_part('epoch', event_time) AS age_s
FROM (
    SELECT *, row_number() OVER (PARTITION BY device_id ORDER BY sequence DESC) AS newest
    FROM vehicles
    CROSS JOIN (SELECT max(coalesce(ingest_time, event_time)) AS clock FROM vehicles)
    WHERE coalesce(ingest_time, event_time) > clock - INTERVAL '7 days'
)
WHERE newest = 1
