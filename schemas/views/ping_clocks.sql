SELECT source_topic, source_partition, max(ingest_time) AS clock
FROM pings
WHERE ingest_time > :clock - INTERVAL '1 day'
GROUP BY source_topic, source_partition
