SELECT trip_id, revision, device_id, courier_id, merchant_id, vehicle, hired, started_at, ended_at, duration_s, moving_s,
       distance_m, path_m, straight_m, origin_zone, destination_zone, hour_of_week, expected_s, expected_from,
       deviation_s, detour_ratio, promised_at, on_time, anomalies, anomaly_reason
FROM (
    SELECT *, row_number() OVER (PARTITION BY trip_id ORDER BY revision DESC) AS newest FROM trip_durations
)
WHERE newest = 1
