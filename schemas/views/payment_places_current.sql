SELECT payment_id, revision, merchant_id, reader_id, courier_id, device_id, vehicle, place, lat, lon, fix_s, stop_id,
       stop_revision, stop_m, since_arrival_s, trip_id, trip_revision, courier_m, event_time AS paid_at
FROM (
    SELECT *, row_number() OVER (PARTITION BY payment_id ORDER BY revision DESC) AS newest FROM payment_places
)
WHERE newest = 1
