WITH said AS (
    SELECT c.alert_id, c.event_time, c.cause, s.snoozed_until,
           row_number() OVER (
               PARTITION BY c.alert_id, c.cause, s.token, s.merchant_id, s.reader_id ORDER BY s.sequence DESC
           ) AS newest
    FROM alert_causes c
    LEFT JOIN snoozes s ON s.cause = c.cause AND s.event_time <= c.event_time
         AND (s.token IS NULL OR s.token = c.token)
         AND (s.merchant_id IS NULL OR s.merchant_id = c.merchant_id)
         AND (s.reader_id IS NULL OR s.reader_id = c.reader_id)
),
ends AS (
    SELECT alert_id, event_time, cause, max(CASE WHEN snoozed_until > event_time THEN snoozed_until END) AS until
    FROM said WHERE newest = 1 GROUP BY alert_id, event_time, cause
)
SELECT alert_id, event_time, min(until) AS snoozed_until
FROM ends GROUP BY alert_id, event_time HAVING count(until) = count(*)
