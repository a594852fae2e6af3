"""Golden bytes: for each event and published version, an event and the bytes it had on the day of publication.

``python -m tests.contracts.golden`` writes those that are missing, from ``SAMPLES``, and leaves the others alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas import events as e
from schemas.codec import Codec
from schemas.settled import SettledSales
from schemas.topics import Topic
from tests.contracts.published import TOPICS_WITH_SCHEMA, versions
from tests.contracts.registry import PublishedSchemas

FOLDER = Path(__file__).parent / "golden"
_NOON = datetime(2026, 11, 2, 12, 0, 0, 123_000, tzinfo=UTC)
_LATER = datetime(2027, 1, 28, 23, 0, tzinfo=UTC)
_RETURN = e.LineReturn("R-1", 2, date(2026, 11, 9), _NOON, _LATER, "0011223344556677", "more-than-sold")
SAMPLES: tuple[e.Event, ...] = (
    e.SaleReported("S-1", "P-001", "TS-100", 12, date(2026, 11, 1), _NOON, ("SN-ä", "SN-2"), "distributor-1"),
    e.SaleReturned("R-1", "S-1", "P-001", "TS-100", 2, date(2026, 11, 9), _NOON, ("SN-2",), "partner"),
    e.Partner("P-001", "Müller & Söhne", "info@partner.example", "de", "DE", date(2026, 1, 1), date(2026, 12, 31)),
    e.Tally(
        *("topseller", "P-001", "2026Q4", "EUR", "2026-1", 50, 50, 1500, 75_000, 7, 1, 2, 3, 4),
        *(e.Phase.FINAL, 1, 75_000, "2026-W53", 49, 49_000, _NOON),
    ),
    e.SaleLine(
        *("P-001", "S-1", e.LineStatus.COUNTED, "conflicting-resend", "2026Q4", "TS-100", 12, 10),
        *(date(2026, 11, 1), ("SN-ä",), _NOON, _LATER, "8899aabbccddeeff", (_RETURN,), ("ffeeddccbbaa9988",), 2**40),
        reported_by="distributor-ä",
    ),
    e.Position("sales", "lpJ8rVvVQ0u4xQmVZ0mP5w", 2**40, 7, "0123456789abcdef", 2**40 - 1, "fedcba9876543210"),
    SettledSales("P-001", "2026Q4", 49, 7, 1, 2, 3, bytes(range(120, 136))),
    e.TierChanged(
        *("topseller", "P-001", "2026Q4", 3, 50, 25, 49, 1000, 75_000, 49_000, "EUR"),
        *(e.Phase.PROVISIONAL, 50, 1, 26_000, _NOON),
    ),
    e.WeeklySummary(
        *("topseller", "P-001", "2026Q4", "2026-W45", 49, 25, 1000, 49_000, "EUR", 50, 1, 26_000, -1, -26_000, 2, 3),
        *(date(2026, 12, 31), _NOON),
    ),
    e.QuarterClosed(
        *("topseller", "P-001", "2026Q4", e.CloseKind.ADJUSTMENT, 2, 49, 25, 1000, 49_000, -26_000, 49_000),
        *("EUR", "2026-1", _LATER),
    ),
    e.PayoutStatusChanged(
        *("topseller", "P-001", "2026Q4", 1, 3, e.PayoutStatus.IN_PAYMENT, "batch", 75_000, "EUR"),
        *("RUN-2027-02-01", "E2E-1", date(2027, 2, 1), _LATER),
    ),
    e.BankDetailsChanged("P-001", 2, e.BankDetailsChange.CHANGED, date(2027, 2, 4), _LATER),
    e.PreferencesChanged("P-001", False, e.PreferenceSource.MAIL, _LATER, "it"),
    e.ClaimDecided(
        *("P-001", "C-7Q2M4KZP", 2, e.ClaimDecision.REFUSED, "proof-unreadable", "S-ä/1", "TS-100", 12),
        *(date(2026, 11, 1), _LATER),
    ),
)


class Golden(NamedTuple):
    """A golden event of one published version, and the file that holds it."""

    topic: Topic
    event: type[e.Event]
    version: int

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.event.__name__}.{self.version}.json"


def wanted() -> Iterator[Golden]:
    """One golden for each event of each published version."""
    for topic in TOPICS_WITH_SCHEMA:
        for version, _ in versions(topic):
            yield from (Golden(topic, event, version) for event in topic.events)


def write_missing() -> list[Path]:
    """Write the goldens of the latest version that are not there yet, and return their paths."""
    codec = Codec(PublishedSchemas(), "")
    written = []
    for golden in wanted():
        if not golden.path.exists():
            event = next(sample for sample in SAMPLES if type(sample) is golden.event)
            body = codec.encode(golden.topic, event)[5:].hex()
            content = {"id": e.id_of(event), "event": json.loads(msgspec.json.encode(event)), "body": body}
            golden.path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
            written.append(golden.path)
    return written


if __name__ == "__main__":
    for path in write_missing():
        print(path)
