SELECT cell, h3_lat(cell) AS lat, h3_lon(cell) AS lon, sum(stops) AS stops,
       sum(dwell_s) / nullif(sum(stops), 0) AS dwell_mean_s, sum(payments) AS payments
FROM (
    SELECT h3_cell(lat, lon, 9) AS cell, 1 AS stops, duration_s AS dwell_s, 0 AS payments FROM stops_current
    UNION ALL
    SELECT h3_cell(lat, lon, 9) AS cell, 0 AS stops, 0.0 AS dwell_s, 1 AS payments FROM payment_places_current
)
WHERE cell IS NOT NULL
GROUP BY cell
