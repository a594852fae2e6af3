"""The notification service: events in, mails and webhooks out, each once; and alerts to staff.

partners, tier-changes, weekly-summaries, quarter-closes, payouts, bank-details ─► handler ─► messages ─► sender ─► SMTP
bank-details, and the same ─► webhooks.deliveries ─► webhook_deliveries (table) ─► webhooks.sender ─► https
payouts, and the tables ─► staff ─► staff_alerts (table) ─► telling ─► mail, chat

An event becomes a row in the transaction that notes the event as read; a row becomes a mail when its partner's address
is known. The mail is written at the moment of sending, so that its personal link is fresh and its address current.
"""
