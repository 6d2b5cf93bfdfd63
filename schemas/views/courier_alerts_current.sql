SELECT alert_id, state, sequence, payment_id, token, merchant_id, reader_id, courier_id, device_id, vehicle, amount_minor, currency,
       reason, group_id, group_number, sentence, lat, lon, phone_lat, phone_lon, fix_s, distance_m, limit_m, known_at,
       event_time, ingest_time, source_topic, source_partition, source_offset
FROM (
    SELECT *, row_number() OVER (PARTITION BY alert_id ORDER BY sequence DESC) AS newest FROM courier_alerts
)
WHERE newest = 1
