"""One sale or return sent by hand, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from deploy.runtime.clock import Clock
from deploy.runtime.errors import StaffelError, UsageError
from deploy.runtime.settings import Settings
from schemas.codec import Codec
from schemas.events import LineStatus, SaleLine, Tally
from schemas.topics import SALE_LINES, SALES, SETTLED_LINES, TALLIES
from schemas.values import line_key, partition_of
from services.intake.applied import Deadline, wait_for_stream
from services.intake.rows import Report, report_reader
from services.intake.sales import now_in_milliseconds
from services.kit.csvfile import Refused
from services.kit.log import BEGINNING, partitions, records
from services.kit.sender import Sender, open_codec

REPORTED_BY = "by hand"


class Verdict(NamedTuple):
    """What the stream made of a report: the sale's line, and the tally that it is part of, if there is one."""

    line: SaleLine
    tally: Tally | None


def report_from(cells: Mapping[str, str], clock: Clock) -> Report:
    """A report made of the cells that an import would have. Raises UsageError for what an import would refuse."""
    try:
        return report_reader(now_in_milliseconds(clock), REPORTED_BY)(cells)
    except Refused as refused:
        raise UsageError(refused.message, refused.hint) from None


def send_and_see(settings: Settings, clock: Clock, report: Report, seconds: float) -> Verdict:
    """Send a report, wait for the stream to apply it, read the verdict. Raises NotReady if that takes longer."""
    codec = open_codec(settings, [SALES, SALE_LINES, SETTLED_LINES, TALLIES])
    with Sender(settings, codec, clock, SALES) as sender:
        sender.send(report.partner_id, report)
    place = sender.last
    if place is None:
        raise StaffelError("Kafka did not say where the record stands", "see ./staffel doctor")
    name = SALES.full_name(settings.topic_prefix)
    wait_for_stream(settings, {(name, place.partition): place.offset + 1}, Deadline.after(seconds))
    line = line_of(settings, report.partner_id, report.sale_id, codec)
    if line is None:
        raise StaffelError(
            "the stream has read the record and keeps no line of it",
            f"look for it in {settings.topic_prefix}sales-dead-letters",
        )
    return Verdict(line, _tally_of(settings, codec, line))


def line_of(settings: Settings, partner_id: str, sale_id: str, codec: Codec | None = None) -> SaleLine | None:
    """What is known of a sale, from the stream's own state, or from where lines go that nothing changes any more."""
    codec = codec or open_codec(settings, [SALE_LINES, SETTLED_LINES])
    key, place = line_key(partner_id, sale_id).encode(), _partition_of(settings, partner_id)
    for topic in (SALE_LINES, SETTLED_LINES):
        found = None
        for message in records(settings, topic, place):
            if message.key() == key:
                found = message.value()
        if found is not None:
            line = codec.decode(topic, found)
            return line if isinstance(line, SaleLine) else None
    return None


def units_left(line: SaleLine) -> int:
    """Units of a sale that can still come back."""
    return 0 if line.status is LineStatus.RETURNED else line.units or line.quantity


def _tally_of(settings: Settings, codec: Codec, line: SaleLine) -> Tally | None:
    ending, found = f"/{line.partner_id}/{line.quarter}".encode(), None
    for message in records(settings, TALLIES, _partition_of(settings, line.partner_id)):
        if (message.key() or b"").endswith(ending):
            found = message.value()
    tally = codec.decode(TALLIES, found) if found is not None else None
    return tally if isinstance(tally, Tally) else None


def _partition_of(settings: Settings, partner_id: str) -> dict[int, int]:
    """The stream keeps a partner's state in the partition of his sales; read it from its beginning."""
    count = len(partitions(settings, SALES))
    return {partition_of(partner_id.encode(), count): BEGINNING}
