SELECT group_id, revision, kind, token, merchant_id, reader_id, alerts, payments, cards, merchants, readers, amount_minor,
       currency, reasons, first_at, newest_at, newest_alert_id, sentence, notified
FROM (
    SELECT *, row_number() OVER (PARTITION BY group_id ORDER BY revision DESC) AS newest FROM alert_groups
)
WHERE newest = 1 AND alerts > 0
