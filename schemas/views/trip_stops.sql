SELECT s.stop_id, s.trip_id, s.device_id, d.courier_id, d.merchant_id, d.origin_zone, d.destination_zone, d.hour_of_week,
       s.started_at, s.ended_at, s.duration_s AS dwell_s,
       CASE WHEN s.started_at >= d.ended_at THEN s.duration_s ELSE 0.0 END AS beside_trip_s
FROM stops_current s
JOIN trip_durations_current d ON d.trip_id = s.trip_id
WHERE s.duration_s <= 3600
