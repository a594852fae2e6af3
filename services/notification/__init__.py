"""The notification service: events in, mails out, each once.

partners, tier-changes, weekly-summaries, quarter-closes, payouts, bank-details ─► handler ─► messages ─► sender ─► SMTP

An event becomes a row in the transaction that notes the event as read; a row becomes a mail when its partner's address
is known. The mail is written at the moment of sending, so that its personal link is fresh and its address current.
"""
