"""Webhooks: what a partner is told by mail, told to his software as well.

tier-changes, weekly-summaries, quarter-closes, payouts, bank-details ─► deliveries (table) ─► sender ─► https

A delivery is a row, written in the transaction that notes the event as read; its id follows from the event's, so that a
repeated request is recognisably the same. The format is that of Standard Webhooks (https://www.standardwebhooks.com).
"""
