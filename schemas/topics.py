"""The one table of topics: name, key, events, who writes, who reads, how long it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas import events as e
from schemas.settled import SettledSales

_KEEP = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
}
"""Facts are kept for ever and stamped by the broker: a back-dated record would otherwise be deleted by retention."""
_STATE = {
    "cleanup.policy": "compact",
    "segment.bytes": str(32 * 1024 * 1024),
    "segment.ms": str(3_600_000),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": str(6 * 3_600_000),
    "delete.retention.ms": str(7 * 86_400_000),
    "message.timestamp.type": "LogAppendTime",
}
"""Latest state by key, in small segments: a take-over reads the whole topic, so it must stay compacted."""
SALES_BYTES_MAX = 1_048_576
MOVED_TO = "staffel-moved-to"
"""Header of a tombstone: what it takes out of this topic goes on in the one that it names, and is nothing lost."""


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    """One row of the table."""

    name: str
    key: str
    events: tuple[type[e.Event], ...]
    writer: str
    readers: tuple[str, ...]
    config: Mapping[str, str] = field(default_factory=dict)

    def full_name(self, prefix: str) -> str:
        """The name on the broker."""
        return prefix + self.name

    @property
    def compacted(self) -> bool:
        return self.config.get("cleanup.policy") == "compact"


SALES = Topic(
    "sales",
    "partner id",
    (e.SaleReported, e.SaleReturned),
    "any reporter",
    ("streams",),
    {**_KEEP, "max.message.bytes": str(SALES_BYTES_MAX)},
)
PARTNERS = Topic(
    "partners", "partner id", (e.Partner,), "registry", ("streams", "notification", "payout", "portal"), _STATE
)
TALLIES = Topic("tallies", "programme/partner/quarter", (e.Tally,), "streams", ("portal",), _STATE)
SALE_LINES = Topic(
    "sale-lines",
    "partner/sale",
    (e.SaleLine,),
    "streams",
    ("portal", "payout"),
    # The line of the largest sale, and what came back of it.
    {**_STATE, "max.message.bytes": str(2 * SALES_BYTES_MAX)},
)
SETTLED_LINES = Topic(
    # Lines of sales that nothing changes any more go here when they leave ``sale-lines``: the stream never reads them.
    "settled-lines",
    "partner/sale",
    (e.SaleLine,),
    "streams",
    ("portal", "payout"),
    {**_STATE, "max.message.bytes": str(2 * SALES_BYTES_MAX)},
)
SETTLED_SALES = Topic(
    "settled-sales", "partner/quarter/first of them", (SettledSales,), "streams", ("streams",), _STATE
)
POSITIONS = Topic("positions", "source", (e.Position,), "streams", ("streams",), _STATE)
TIER_CHANGES = Topic("tier-changes", "partner id", (e.TierChanged,), "streams", ("notification", "portal"), _KEEP)
WEEKLY_SUMMARIES = Topic("weekly-summaries", "partner id", (e.WeeklySummary,), "streams", ("notification",), _KEEP)
QUARTER_CLOSES = Topic(
    "quarter-closes", "partner id", (e.QuarterClosed,), "streams", ("payout", "notification", "portal"), _KEEP
)
PAYOUTS = Topic("payouts", "partner id", (e.PayoutStatusChanged,), "payout", ("notification", "portal"), _KEEP)
BANK_DETAILS = Topic("bank-details", "partner id", (e.BankDetailsChanged,), "payout", ("notification",), _KEEP)
PREFERENCES = Topic(
    # The portal reads back what it wrote: its database may be made anew from the topics.
    "preferences",
    "partner id",
    (e.PreferencesChanged,),
    "portal",
    ("notification", "payout", "portal"),
    _STATE,
)
CLAIMS = Topic("claims", "partner id", (e.ClaimDecided,), "portal", ("notification",), _KEEP)
DEAD_LETTERS = Topic(
    "sales-dead-letters",
    "as received",
    (),
    "streams",
    ("operator",),
    # Twice the size of what it may have to hold: the original and its headers must fit.
    {**_KEEP, "max.message.bytes": str(2 * SALES_BYTES_MAX)},
)

TOPICS = (
    SALES,
    PARTNERS,
    TALLIES,
    SALE_LINES,
    SETTLED_LINES,
    SETTLED_SALES,
    POSITIONS,
    TIER_CHANGES,
    WEEKLY_SUMMARIES,
    QUARTER_CLOSES,
    PAYOUTS,
    BANK_DETAILS,
    PREFERENCES,
    CLAIMS,
    DEAD_LETTERS,
)
