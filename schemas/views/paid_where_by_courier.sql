SELECT courier_id, merchant_id, count(*) AS payments,
       sum(CASE place WHEN 'at_stop' THEN 1 ELSE 0 END) AS at_stop,
       sum(CASE place WHEN 'before_arrival' THEN 1 ELSE 0 END) AS before_arrival,
       sum(CASE place WHEN 'after_departure' THEN 1 ELSE 0 END) AS after_departure,
       sum(CASE place WHEN 'under_way' THEN 1 ELSE 0 END) AS under_way,
       sum(CASE place WHEN 'elsewhere' THEN 1 ELSE 0 END) AS elsewhere,
       sum(CASE place WHEN 'no_position' THEN 1 ELSE 0 END) AS no_position,
       sum(CASE place WHEN 'no_courier_near' THEN 1 ELSE 0 END) AS no_courier_near,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY since_arrival_s) AS since_arrival_p50_s,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY stop_m) AS stop_p50_m
FROM payment_places_current
GROUP BY courier_id, merchant_id
