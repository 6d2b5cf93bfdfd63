SELECT cell, h3_lat(cell) AS lat, h3_lon(cell) AS lon, hour, count(*) AS fixes, count(DISTINCT device_id) AS devices
FROM (SELECT h3_cell(lat, lon, 9) AS cell, date_trunc('hour', event_time) AS hour, device_id FROM pings)
GROUP BY cell, hour
