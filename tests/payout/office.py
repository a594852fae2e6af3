"""A payout office for tests: the real rules and a real database, with events handed in where Kafka would."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
from schwifty import IBAN
from sqlalchemy import Engine, event, select

from deploy.runtime.settings import ROOT, Settings, load
from schemas.events import (
    BankDetailsChanged,
    CloseKind,
    Event,
    LineStatus,
    PayoutStatus,
    PayoutStatusChanged,
    QuarterClosed,
    SaleLine,
    id_of,
)
from schemas.topics import (
    BANK_DETAILS,
    PARTNERS,
    PAYOUTS,
    PREFERENCES,
    QUARTER_CLOSES,
    SALE_LINES,
    SETTLED_LINES,
    Topic,
)
from schemas.values import Quarter, line_key
from services.kit.consumer import Batch, Received
from services.payout import bank_details, files, holds, lines, obligations, partners, recount, release, runs, tables
from services.payout.bank_checks import Row
from services.payout.bank_details import import_rows
from services.payout.database import open_database
from services.payout.release import Released
from services.payout.runs import Payer
from services.payout.service import debtor, limits
from services.payout.tables import outbox
from services.payout.vault import open_vault
from streams.rules.terms import parse

PROGRAMME = parse((ROOT / "programme.toml").read_text("utf-8"))
QUARTER = "2026Q4"
FINAL = datetime(2027, 1, 29, 12, tzinfo=UTC)  # a Friday, after the grace period of 2026Q4
FRIDAY = date(2027, 1, 29)


_HANDLERS = {
    PARTNERS: partners.project,
    PREFERENCES: partners.choose,
    SALE_LINES: lines.project,
    SETTLED_LINES: lines.project,
    QUARTER_CLOSES: obligations.record,
}


class Office:
    """The payout service without its loop: each method is one of its steps."""

    def __init__(self, folder: Path, url: str) -> None:
        self._said: dict[str, Any] = {"data": folder, "payout_db_url": url, "bank_key": "a key for tests"}
        self.settings: Settings = load(self._said, {}).settings
        self.engine: Engine = open_database(self.settings)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _without_syncs)
            self.engine.dispose()
        self.vault = open_vault(self.settings)
        self.payer = Payer(debtor(self.settings))
        self.limits = limits(self.settings)
        self.folder = Path(self.settings.payments)
        self._offset = 0

    def set(self, **said: Any) -> None:
        """From now on some settings are others."""
        self._said |= said
        self.settings = load(self._said, {}).settings

    def sells(self, partner_id: str, units: int, quarter: str = QUARTER, sale_id: str = "") -> None:
        """The stream says that a partner's sale counts so many units."""
        self.apply([line(partner_id, units, quarter, sale_id or f"{partner_id}-{quarter}")])

    def closes(self, partner_id: str, *totals: int, quarter: str = QUARTER, units: int = 0) -> None:
        """The stream closes a quarter: each figure is what is payable in all after the next revision, from 1."""
        self.apply(closes(partner_id, *totals, quarter=quarter, units=units))

    def apply(self, events: Iterable[SaleLine | QuarterClosed]) -> None:
        """Handle events as they come, each kind as a batch of its topic."""
        for said in events:
            if isinstance(said, SaleLine):
                self.deliver(SALE_LINES, [(line_key(said.partner_id, said.sale_id), said)])
            else:
                self.deliver(QUARTER_CLOSES, [(said.partner_id, said)])

    def deliver(self, topic: Topic, events: Sequence[tuple[str, Event | None]], moved: bool = False) -> None:
        """Handle one batch of a topic. ``moved``: what is taken out of it goes on in another one."""
        received = []
        for key, said in events:
            self._offset += 1
            event_id = id_of(said) if said else str(self._offset)
            received.append(Received(topic, key, said, event_id, FINAL, 0, self._offset, moved))
        with self.engine.begin() as connection:
            _HANDLERS[topic](Batch(connection, received))

    def details(
        self, partner_id: str, iban: str = "", holder: str = "", at: datetime = FINAL, town: str = "", country: str = ""
    ) -> str:
        """Bank details come in."""
        row = Row(
            partner_id, holder or f"Holder of {partner_id}", iban or iban_of(partner_id), town=town, country=country
        )
        return import_rows(self.engine, self.settings, [row], at)[0].result

    def refused(self, partner_id: str, version: int = 1, reason: str = "AC04", at: datetime = FINAL) -> None:
        """A bank says that this version of the partner's details is no good."""
        with self.engine.begin() as connection:
            bank_details.invalidate(connection, partner_id, version, reason, at)

    def blocks(self, partner_id: str, to_be: bool = True, at: datetime = FINAL) -> bool:
        """Somebody blocks a partner, or unblocks him; answers whether that changed anything."""
        decide = holds.block if to_be else holds.unblock
        with self.engine.begin() as connection:
            return decide(connection, partner_id, "a reason", "A. Clerk", at)

    def lifts(self, obligation_id: str, at: datetime = FINAL) -> str:
        """Somebody has looked at what is unusual and lets it go."""
        with self.engine.begin() as connection:
            return holds.lift(connection, obligation_id, "invoices seen", "A. Clerk", at)

    def passes(self, now: datetime) -> None:
        """Time has come to this instant: what the service does by itself, and the recount that follows."""
        with self.engine.begin() as connection:
            holds.look_again_at_due(connection, now.astimezone(PROGRAMME.zone).date())
        self.recount(now)

    def recount(self, now: datetime = FINAL) -> None:
        """Look at whatever is to be looked at."""
        upto = recount.latest_check(self.engine)
        if upto is not None:
            recount.look(self.engine, PROGRAMME, holds.rules(self.settings), upto, now)

    def pay(self, day: date = FRIDAY, now: datetime = FINAL) -> Released | None:
        """Prepare a day's runs, release them as nobody has to approve them, and write their files."""
        runs.prepare_day(self.engine, self.vault, PROGRAMME, self.payer, day, now)
        made = [
            release.release_automatically(self.engine, self.vault, PROGRAMME, msg_id, self.limits, now)
            for msg_id in release.waiting_for_nobody(self.engine, self.limits)
        ]
        files.write_released(self.engine, self.vault, self.folder)
        return made[0] if made else None

    def prepare(self, by: str = "A. Preparer", day: date = FRIDAY, now: datetime = FINAL) -> list[runs.Prepared]:
        """Somebody prepares runs of what is payable."""
        return runs.prepare(self.engine, self.vault, PROGRAMME, self.payer, day, now, by)

    def approve(self, msg_id: str, by: str = "B. Approver", now: datetime = FINAL) -> int:
        """Somebody approves a run."""
        return release.approve(self.engine, msg_id, by, self.limits, now)

    def release(self, msg_id: str, by: str = "B. Approver", now: datetime = FINAL) -> Released:
        """Somebody releases a run; its file is written."""
        made = release.release(self.engine, self.vault, PROGRAMME, msg_id, by, self.limits, now)
        files.write_released(self.engine, self.vault, self.folder)
        return made

    def made_payable(self, partner_id: str, quarter: str) -> int:
        """What the closes of a quarter have made payable so far."""
        chosen = (tables.obligations.c.partner_id == partner_id) & (tables.obligations.c.quarter == quarter)
        with self.engine.connect() as connection:
            rows = connection.execute(select(tables.obligations.c.amount_minor).where(chosen)).scalars()
            return sum(rows)

    def published(self) -> list[PayoutStatusChanged]:
        """All status events so far, in order."""
        with self.engine.connect() as connection:
            chosen = select(outbox.c.event).where(outbox.c.topic == PAYOUTS.name).order_by(outbox.c.id)
            rows = connection.execute(chosen).scalars()
            return [msgspec.json.decode(row, type=PayoutStatusChanged) for row in rows]

    def told(self) -> list[BankDetailsChanged]:
        """All events on bank details so far, in order."""
        with self.engine.connect() as connection:
            chosen = select(outbox.c.event).where(outbox.c.topic == BANK_DETAILS.name).order_by(outbox.c.id)
            rows = connection.execute(chosen).scalars()
            return [msgspec.json.decode(row, type=BankDetailsChanged) for row in rows]

    def statuses(self, partner_id: str) -> list[tuple[PayoutStatus, str | None]]:
        """What a partner was told, one after the other."""
        return [(said.status, said.reason) for said in self.published() if said.partner_id == partner_id]


def _without_syncs(connection: Any, _record: Any) -> None:
    # Only a power cut would tell the difference, and no test has one.
    connection.execute("PRAGMA synchronous=OFF")


def line(
    partner_id: str, units: int, quarter: str = QUARTER, sale_id: str = "S1", sold_on: date | None = None
) -> SaleLine:
    """A counted sale."""
    return SaleLine(
        partner_id=partner_id,
        sale_id=sale_id,
        status=LineStatus.COUNTED,
        reason=None,
        quarter=quarter,
        product_id="TS-100",
        quantity=units,
        units=units,
        sold_on=sold_on or Quarter.parse(quarter).first_day,
        serial_numbers=(),
        reported_at=FINAL,
        recorded_at=FINAL,
        content_hash="0",
    )


def closes(
    partner_id: str, *totals: int, quarter: str = QUARTER, units: int = 0, first: int = 1
) -> list[QuarterClosed]:
    """The closes of a quarter after which so much is payable in all, one after the other."""
    made: list[QuarterClosed] = []
    before = 0
    for revision, total in enumerate(totals, 1):
        made.append(
            QuarterClosed(
                programme_id=PROGRAMME.id,
                partner_id=partner_id,
                quarter=quarter,
                kind=CloseKind.FINAL if revision == 1 else CloseKind.ADJUSTMENT,
                revision=revision,
                units=units,
                tier=0,
                rate_minor=0,
                rebate_minor=total,
                payable_minor=total - before,
                payable_total_minor=total,
                currency="EUR",
                terms_version="2026-1",
                closed_at=FINAL,
            )
        )
        before = total
    return made


def iban_of(partner_id: str) -> str:
    """A German IBAN with right check digits, always the same for a partner."""
    number = int(hashlib.sha256(partner_id.encode()).hexdigest(), 16) % 10**10
    return str(IBAN.from_bban("DE", f"12030000{number:010d}"))
