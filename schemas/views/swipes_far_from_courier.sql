-- Metres on a sphere of the earth's mean radius.
SELECT * FROM (
    SELECT p.payment_id, p.merchant_id, p.reader_id, p.courier_id, p.token, p.amount_minor, p.currency, p.event_time,
           2 * 6371008.8 * asin(sqrt(
               power(sin(radians(p.lat - w.lat) / 2), 2)
               + cos(radians(p.lat)) * cos(radians(w.lat)) * power(sin(radians(p.lon - w.lon) / 2), 2))) AS distance_m
    FROM payments p
    JOIN payment_places_current w ON w.payment_id = p.payment_id
    WHERE p.kind = 'swipe' AND NOT p.repeat)
WHERE distance_m > 1500
