SELECT alert_id, token, merchant_id, reader_id, event_time, reason AS cause
FROM alerts_current WHERE state = 'raised' AND reason NOT IN ('risk_blocked', 'risk_review')
UNION ALL
SELECT a.alert_id, a.token, a.merchant_id, a.reader_id, a.event_time,
       split_part(split_part(d.fired, ': ', 1), ' ', 2) AS cause
FROM alerts_current a
JOIN (SELECT payment_id, event_time, unnest(fired_rules) AS fired FROM decisions WHERE NOT repeat) d
     ON d.payment_id = a.payment_id AND d.event_time = a.event_time
WHERE a.state = 'raised' AND a.reason IN ('risk_blocked', 'risk_review') AND d.fired NOT LIKE 'allow %'
