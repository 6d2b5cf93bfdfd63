SELECT t.courier_id, t.merchant_id, t.trips, t.p50_s, t.p90_s, t.p95_s, t.mean_s, t.stddev_s, t.deviation_s,
       t.on_time_share, t.strange, coalesce(s.stops, 0) AS stops, s.dwell_p50_s, s.dwell_p95_s, s.dwell_mean_s,
       3600.0 * coalesce(s.stops, 0) / nullif(t.under_way_s + coalesce(s.beside_trips_s, 0), 0) AS stops_per_hour
FROM (
    SELECT courier_id, merchant_id, count(*) AS trips, sum(duration_s) AS under_way_s,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) AS p50_s,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY duration_s) AS p90_s,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_s) AS p95_s,
           avg(duration_s) AS mean_s, stddev_samp(duration_s) AS stddev_s, avg(deviation_s) AS deviation_s,
           avg(CASE WHEN on_time THEN 1.0 WHEN NOT on_time THEN 0.0 END) AS on_time_share,
           sum(CASE WHEN anomaly_reason IS NULL THEN 0 ELSE 1 END) AS strange
    FROM trip_durations_current
    WHERE courier_id IS NOT NULL
    GROUP BY courier_id, merchant_id
) t
LEFT JOIN (
    -- Stops in trips and at their ends. Longer than an hour is a break or a night, no service.
    SELECT d.courier_id, d.merchant_id, count(*) AS stops,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY s.duration_s) AS dwell_p50_s,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY s.duration_s) AS dwell_p95_s,
           avg(s.duration_s) AS dwell_mean_s,
           sum(CASE WHEN s.started_at >= d.ended_at THEN s.duration_s ELSE 0.0 END) AS beside_trips_s
    FROM stops_current s
    JOIN trip_durations_current d ON d.trip_id = s.trip_id
    WHERE s.duration_s <= 3600
    GROUP BY d.courier_id, d.merchant_id
) s ON s.courier_id = t.courier_id AND s.merchant_id = t.merchant_id
