SELECT origin_zone AS zone, count(*) AS trips,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) AS p50_s,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY duration_s) AS p90_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_s) AS p95_s,
       avg(duration_s) AS mean_s, stddev_samp(duration_s) AS stddev_s, avg(deviation_s) AS deviation_s,
       avg(CASE WHEN on_time THEN 1.0 WHEN NOT on_time THEN 0.0 END) AS on_time_share,
       sum(CASE WHEN anomaly_reason IS NULL THEN 0 ELSE 1 END) AS strange
FROM trip_durations_current
GROUP BY origin_zone
