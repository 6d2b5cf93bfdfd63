SELECT p.payment_id, p.merchant_id, p.reader_id, p.courier_id, p.mcc, p.amount_minor, p.currency, p.last4, p.scheme,
       p.token, d.state, d.response_code, d.reason, t.held_minor, t.captured_minor, t.approval_code,
       p.event_time AS swiped_at, d.event_time AS changed_at
FROM (
    -- A swipe that came again with other content is refused: the first one is the payment.
    SELECT *, row_number() OVER (PARTITION BY payment_id ORDER BY source_offset) AS occurrence
    FROM payments WHERE kind = 'swipe' AND NOT repeat
) p
JOIN (
    SELECT payment_id, state, response_code, reason, event_time,
           row_number() OVER (PARTITION BY payment_id ORDER BY source_offset DESC, kind DESC) AS newest
    FROM decisions WHERE state IS NOT NULL AND NOT repeat
) d ON d.payment_id = p.payment_id AND d.newest = 1
JOIN (
    SELECT payment_id, sum(held_minor) AS held_minor, sum(captured_minor) AS captured_minor,
           max(approval_code) AS approval_code
    FROM decisions GROUP BY payment_id
) t ON t.payment_id = p.payment_id
WHERE p.occurrence = 1
