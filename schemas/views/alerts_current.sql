SELECT alert_id, payment_id, token, merchant_id, reader_id, reason, group_id, group_number, sentence,
       'raised' AS state, event_time, ingest_time, source_topic, source_partition, source_offset
FROM alerts
UNION ALL
SELECT alert_id, payment_id, token, merchant_id, reader_id, reason, group_id, group_number, sentence,
       CASE WHEN state = 'withdrawn' THEN 'withdrawn' ELSE 'raised' END AS state, event_time, ingest_time, source_topic, source_partition, source_offset
FROM courier_alerts_current
