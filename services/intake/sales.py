"""Imports reports of sales and returns: each good row becomes an event on ``sales``.

Every row is sent, whether it was reported before or not: the stream knows a sale by its ids and content, and the same
report again changes nothing.
"""

from __future__ import annotations

from contextlib import closing, nullcontext
from datetime import datetime

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from schemas.codec import Codec
from schemas.events import SaleReported, SaleReturned
from schemas.topics import SALES
from services.intake.importing import Request, Summary, take_rows
from services.intake.rows import SALE_COLUMNS, Report, report_reader
from services.intake.seen import Seen
from services.kit.csvfile import Refused, Sheet
from services.kit.log import events
from services.kit.sender import Sender, open_codec

SENT, REPEATED = "sent", "repeated"
"""Outcomes of a row: an event on ``sales``; or the file had said the same already. Then come those that only a dry
run tells apart."""
NEW, KNOWN, CONFLICTING = "new", "known", "conflicting"


def import_sales(settings: Settings, clock: Clock, request: Request) -> Summary:
    """Import a file. A dry run sends nothing and compares with all that was ever reported.

    Raises UsageError for a file or header that can't be read, NotReady or StaffelError if Kafka or registry fail.
    """
    now = now_in_milliseconds(clock)
    with closing(Sheet(request.path, SALE_COLUMNS)) as sheet, closing(Seen()) as seen:
        codec = open_codec(settings, [SALES])
        summary = Summary("sales", request, (SENT, REPEATED))
        with nullcontext() if request.dry_run else Sender(settings, codec, clock, SALES) as sender:

            def accept(report: Report, line: int) -> str:
                met = seen.meet(report, line)
                if met is not None and met.same:
                    return REPEATED
                if met is not None:
                    raise Refused(
                        "conflicting-duplicate",
                        f"line {met.line} has the same id and says something else",
                        "decide which one is right and leave the other out",
                    )
                if sender is not None:
                    sender.send(report.partner_id, report)
                return SENT

            take_rows(sheet, sheet.rows(report_reader(now, "sales import")), request, summary, accept)
        if request.dry_run:
            _compare(settings, codec, seen, summary)
    return summary


def now_in_milliseconds(clock: Clock) -> datetime:
    """This instant as events hold it."""
    now = clock.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _compare(settings: Settings, codec: Codec, seen: Seen, summary: Summary) -> None:
    for _, event in events(settings, codec, SALES):
        if isinstance(event, SaleReported | SaleReturned):
            seen.compare(event)
    found = seen.found()
    summary.outcomes.update({NEW: found.new, KNOWN: found.known, CONFLICTING: found.conflicting})
