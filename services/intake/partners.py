"""Imports the partner registry: what is new or has changed goes to ``partners``, the rest is left alone."""

from __future__ import annotations

from contextlib import closing, nullcontext

import msgspec

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings
from schemas.codec import Codec
from schemas.events import Partner
from schemas.topics import PARTNERS
from services.intake import rows
from services.intake.importing import Request, Summary, take_rows
from services.kit.csvfile import Refused, Sheet
from services.kit.log import events
from services.kit.sender import Sender, open_codec

NEW, CHANGED, UNCHANGED, REPEATED = "new", "changed", "unchanged", "repeated"


def import_partners(settings: Settings, clock: Clock, request: Request) -> Summary:
    """Import a file. An empty ``left_on`` means that he has not left; a file without that column says nothing of it.

    Partners that the file does not name stay as they are. Raises UsageError for a file or header that can't be read,
    NotReady or StaffelError if Kafka or registry fail.
    """
    with closing(Sheet(request.path, rows.PARTNER_COLUMNS)) as sheet:
        codec = open_codec(settings, [PARTNERS])
        registry = registered(settings, codec)
        lines: dict[str, int] = {}
        tells_leaving = "left_on" in sheet.columns
        summary = Summary("partners", request, (NEW, CHANGED, UNCHANGED, REPEATED))
        with nullcontext() if request.dry_run else Sender(settings, codec, clock, PARTNERS) as sender:

            def accept(partner: Partner, line: int) -> str:
                before = registry.get(partner.partner_id)
                if before is not None and not tells_leaving:
                    partner = msgspec.structs.replace(partner, left_on=before.left_on)
                first = lines.setdefault(partner.partner_id, line)
                if before == partner:
                    return UNCHANGED if first == line else REPEATED
                if first != line:
                    raise Refused(
                        "conflicting-duplicate",
                        f"line {first} has the same partner and says something else",
                        "decide which one is right and leave the other out",
                    )
                if sender is not None:
                    sender.send(partner.partner_id, partner)
                registry[partner.partner_id] = partner
                return NEW if before is None else CHANGED

            take_rows(sheet, sheet.rows(rows.partner), request, summary, accept)
    return summary


def registered(settings: Settings, codec: Codec) -> dict[str, Partner]:
    """The partners as last told, by id; without those whose record was deleted."""
    found: dict[str, Partner] = {}
    for key, event in events(settings, codec, PARTNERS):
        if isinstance(event, Partner):
            found[key] = event
        else:  # deleted; or not decodable, then importing him again mends it
            found.pop(key, None)
    return found
