SELECT merchant_id, name, trade, mcc, zone, currency, active
FROM (
    SELECT *, row_number() OVER (PARTITION BY merchant_id ORDER BY source_offset DESC) AS newest FROM merchants
)
WHERE newest = 1
