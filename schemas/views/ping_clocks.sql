SELECT source_topic, source_partition, max(ingest_time) AS clock
FROM (
    SELECT source_topic, source_partition, ingest_time FROM pings WHERE ingest_time > :clock - INTERVAL '1 day'
    UNION ALL
    SELECT source_topic, source_partition, ingest_time FROM ping_ticks WHERE ingest_time > :clock - INTERVAL '1 day'
)
GROUP BY source_topic, source_partition
