SELECT response_code, reason, currency, count(*) AS swipes, sum(amount_minor) AS amount_minor
FROM decisions
WHERE kind = 'authorization' AND NOT repeat
GROUP BY response_code, reason, currency
