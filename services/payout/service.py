"""The payout service at work: read, recount, pay, publish. One loop, each step small and safe to be killed in."""

from __future__ import annotations

import re
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaException
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException
from sqlalchemy import Engine

from deploy.runtime.errors import StaffelError, UsageError
from deploy.runtime.settings import Settings
from schemas.topics import BANK_DETAILS, PARTNERS, PAYOUTS, PREFERENCES, QUARTER_CLOSES, SALE_LINES, SETTLED_LINES
from services.kit.consumer import Reader, Subscription, measure_lag
from services.kit.database import reading
from services.kit.process import Process
from services.kit.relay import Relay
from services.payout import (
    chain,
    files,
    holds,
    invariants,
    lines,
    metrics,
    obligations,
    partners,
    past,
    recount,
    release,
    runs,
)
from services.payout.answers import metrics as answers
from services.payout.answers.apply import told
from services.payout.answers.folder import Folder
from services.payout.bank_days import latest_run_day
from services.payout.pain001 import Debtor
from services.payout.release import Limits
from services.payout.runs import Payer
from services.payout.statements.desk import Desk
from services.payout.tables import metadata, outbox
from services.payout.vault import open_vault
from services.payout.watermark import Ends, Watermark, passed
from streams.rules.terms import Programme

_LOOK_SECONDS = 60


class _Mark(NamedTuple):
    """What may be done once the reader has come to these ends."""

    ends: Ends
    checks: int
    day: date | None


class Payout:
    """Everything that the process holds open."""

    def __init__(self, process: Process, engine: Engine, programme: Programme) -> None:
        self._settings, self._clock, self._log = process.settings, process.clock, process.log
        self._engine, self._programme = engine, programme
        self._vault = open_vault(process.settings)
        self._payer = Payer(debtor(process.settings), process.settings.batch_booking)
        self._approval = limits(process.settings)
        self._limits = holds.rules(process.settings)
        self._folder = Path(process.settings.payments)
        self._answers = Folder(Path(process.settings.bank_answers))
        self._desk = Desk(engine, process.settings, programme, process.clock)
        self._missing = past.missing(engine, process.settings, process.codec) or self._desk.missing
        self._violations: list[str] = []
        self._unwritten: str | None = None
        with engine.begin() as connection:
            obligations.look_again_at_all(
                connection
            )  # the programme file may say something else than at the last start
        runs.begin(engine, self._latest_run_day(), self._clock.now())
        self._note_head()
        # Lines before closes: of what comes together, what a close was made from is there first.
        subscriptions = [
            Subscription(PARTNERS, partners.project),
            Subscription(PREFERENCES, partners.choose),
            Subscription(SALE_LINES, lines.project, lines.anew),
            Subscription(SETTLED_LINES, lines.project, lines.anew),
            Subscription(QUARTER_CLOSES, obligations.record),
        ]
        self._reader = Reader(process.settings, process.clock, process.codec, engine, metadata, subscriptions)
        self._watermark = Watermark(process.settings)
        self._relay = Relay(
            process.settings, process.codec, engine, process.clock, outbox, (PAYOUTS, BANK_DETAILS), "staffel/payout"
        )
        self._mark: _Mark | None = None
        self._looked = 0.0
        process.probes.check("past", lambda: self._missing)
        process.probes.check("payment files", lambda: self._unwritten)
        process.probes.check("invariants", lambda: "; ".join(self._violations) or None)
        if self._missing:
            self._log.error("no payment run is made", reason=self._missing)

    def step(self) -> None:
        """One turn of the loop."""
        self._reader.step()
        self._read_answers()
        self._recount_and_pay()
        self._relay.step()
        self._desk.step()
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look_around()
            self._looked = time.monotonic()

    def doubt(self) -> str | None:
        """Why this database may not be the right one, or None."""
        return self._missing

    def hurry(self) -> None:
        """Look around at the next turn: somebody has released a run. May be called from any thread."""
        self._looked = 0.0

    def close(self) -> None:
        """Let go of everything."""
        self._reader.close()
        self._watermark.close()
        self._engine.dispose()

    def _read_answers(self) -> None:
        if self._missing:
            return  # they may speak of runs that this database has forgotten
        for found in self._answers.look(self._engine, self._vault, self._clock.now(), time.monotonic()):
            if found.outcome is None:
                answers.FILES.labels("unknown", "refused").inc()
                self._log.error("a file from the bank was refused", file=found.name, reason=found.why)
            else:
                answers.count(found.outcome)
                self._log.info("the bank's answer was read", file=found.name, **told(found.outcome))
            if found.left:
                self._log.error("a file from the bank can't be moved away", file=found.name, reason=found.left)

    def _recount_and_pay(self) -> None:
        if self._mark is None:
            day = self._due_day()
            if day is not None:
                self._look_again_at_due()
            checks = recount.latest_check(self._engine)
            if checks is not None or day is not None:
                try:
                    self._mark = _Mark(self._watermark.ends(self._reader.reached), checks or 0, day)
                except KafkaException as error:
                    self._log.warning("Kafka does not say where its topics end", reason=str(error))
            return
        if not passed(self._mark.ends, self._reader.reached):
            return
        mark, self._mark = self._mark, None
        if mark.checks:
            recount.look(self._engine, self._programme, self._limits, mark.checks, self._clock.now())
        if mark.day is not None and recount.latest_check(self._engine) is None:
            self._run(mark.day)

    def _look_again_at_due(self) -> None:
        with self._engine.begin() as connection:
            holds.look_again_at_due(connection, self._clock.now().astimezone(self._programme.zone).date())

    def _due_day(self) -> date | None:
        if self._missing or self._violations:
            return None
        day, decided = self._latest_run_day(), runs.latest_day(self._engine)
        return day if decided is None or decided < day else None

    def _latest_run_day(self) -> date:
        return latest_run_day(self._clock.now().astimezone(self._programme.zone), self._settings.payout_hour)

    def _run(self, day: date) -> None:
        self._check_invariants()
        if self._violations:
            return
        now = self._clock.now()
        for made in runs.prepare_day(self._engine, self._vault, self._programme, self._payer, day, now):
            self._log.info("run prepared", run=made.msg_id, payments=made.payments, euros=made.total_minor / 100)
        self._release_automatically()

    def _release_automatically(self) -> None:
        """Release what needs no person; also what a crash left between its preparation and its release."""
        for msg_id in release.waiting_for_nobody(self._engine, self._approval):
            if self._missing or self._violations:
                return
            now = self._clock.now()
            try:
                made = release.release_automatically(
                    self._engine, self._vault, self._programme, msg_id, self._approval, now
                )
            except StaffelError as error:
                self._log.error("a run was not released", run=msg_id, reason=error.message)
                continue
            metrics.RUNS.inc()
            metrics.RUN_AMOUNT.set(made.total_minor / 100)
            metrics.ATTEMPTS.labels("released", "").inc(made.payments)
            self._log.info("run released", run=msg_id, payments=made.payments, euros=made.total_minor / 100)
            self._note_head()
        self._write_files()

    def _give_up_late(self) -> None:
        now = self._clock.now()
        for msg_id in runs.give_up_late(self._engine, now.astimezone(self._programme.zone).date(), now):
            self._log.error("a run was given up: not released before its day", run=msg_id)

    def _note_head(self) -> None:
        """Put the ledger's end into the log: a place that whoever edits the database does not reach."""
        with reading(self._engine).connect() as connection:
            self._log.info("ledger head", head=str(chain.head(connection)))

    def _write_files(self) -> None:
        self._unwritten = None
        try:
            for path in files.write_released(self._engine, self._vault, self._folder):
                self._log.info("payment file written", file=str(path))
        except OSError as error:  # the bytes are safe in the database; the next look writes them
            self._unwritten = f"a payment file can't be written into {self._folder}: {error.strerror}"
            self._log.error("a payment file was not written; it is tried again", reason=error.strerror)

    def _look_around(self) -> None:
        self._check_invariants()
        self._look_again_at_due()
        self._give_up_late()
        self._release_automatically()
        with self._engine.begin() as connection:
            obligations.look_again_at_all(connection, recount.CLOSED_TOO_EARLY)
            metrics.measure(connection, self._clock.now().timestamp(), self._clock.rate)
            answers.measure(
                connection,
                self._answers.path,
                self._programme.zone,
                self._clock.now(),
                self._settings.bank_silence_hours,
            )
        try:
            measure_lag(self._reader, self._settings)
        except KafkaException as error:
            self._log.warning("Kafka does not say how much there is to read", reason=str(error))

    def _check_invariants(self) -> None:
        with self._engine.connect() as connection:
            self._violations = invariants.violations(connection)
        metrics.VIOLATIONS.set(len(self._violations))
        for violation in self._violations:
            self._log.error("no payment run is made: an invariant is broken", reason=violation)


def limits(settings: Settings) -> Limits:
    """What needs whose eyes, as the settings say."""
    return Limits(100 * settings.payout_automatic_euros, 100 * settings.payout_second_approval_euros)


def debtor(settings: Settings) -> Debtor:
    """Who pays, as the settings say. Raises UsageError if no bank would take it."""
    try:
        iban = IBAN(settings.debtor_iban)
    except SchwiftyException:
        raise UsageError("debtor_iban is not an IBAN", "set STAFFEL_DEBTOR_IBAN to the account to pay from") from None
    if not re.fullmatch("[A-Z]{2}", settings.debtor_country):
        raise UsageError(f"debtor_country can't be {settings.debtor_country!r}", "write it like DE")
    return Debtor(settings.debtor_name, str(iban), settings.debtor_town, settings.debtor_country)
