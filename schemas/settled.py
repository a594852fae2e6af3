"""What the stream keeps of sales whose lines have left its state. Nobody else reads it."""

from __future__ import annotations

from schemas.events import Event


class SettledSales(Event, frozen=True, gc=False):
    """Sales of a partner's quarter that nothing changes any more. Their lines have left the stream's state; this is
    what it keeps of them."""

    partner_id: str
    quarter: str
    units: int
    """What they weigh in the tally, likewise the next four."""
    counted: int
    pending: int
    rejected: int
    returned: int
    sales: bytes
    """By what each is known again: eight bytes of a hash of its sale id, in order."""
