"""One run of a scenario on a running stack: feeds it while the clock runs, shows it, and looks at what came of it."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from deploy.demo.acts import Act, Tempo, perform
from deploy.demo.bank import Bank
from deploy.demo.check import Found, Verdict, closed_account, compare, paid_by_iban
from deploy.demo.feed import Feed, register
from deploy.demo.quarter import QUARTER
from deploy.demo.recount import Expected
from deploy.demo.scenario import Scenario
from deploy.demo.screen import Scene, Screen
from deploy.demo.watch import Figures, Watch
from deploy.embedded.stack import Stack
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Port, Settings
from schemas.events import Partner
from services.portal.queries import open_database, standing
from streams.rules.terms import parse

_PATIENCE_SECONDS = 60.0
"""How long an act's end waits for what is slow; then the check has to say what is missing."""
_QUIET_SECONDS = 2.0
_PICTURE_SECONDS = 0.2
_STEP_SECONDS = 0.03
_STAY_SECONDS = 1.0


class Outcome(NamedTuple):
    """What came of it."""

    verdict: Verdict
    figures: Figures
    sent: int
    mails_waiting: int
    """How many mails were still to be sent; the mail service is not waited for without end."""
    seconds: float
    """How long it took, without the start of the stack."""


class Performance:
    """Runs once."""

    def __init__(self, stack: Stack, scenario: Scenario) -> None:
        self._stack, self._settings, self._scenario = stack, stack.settings, scenario
        self._tempo = Tempo(self._settings)
        self._reports = sum(not isinstance(moment.record, Partner) for moment in scenario.moments)
        self._pictured_at = 0.0
        closed = closed_account(scenario).iban
        self._bank = Bank(Path(self._settings.payments), Path(self._settings.bank_answers), closed)

    def run(self, seconds: float) -> Outcome:
        """Play all acts in about so many seconds. Raises StaffelError if the stack gives up."""
        begun = time.monotonic()
        clock = open_clock(self._settings)
        register(self._settings, clock, self._scenario)
        names = {actor.id: actor.partner.name for actor in self._scenario.actors}
        self._watch = Watch(self._settings, str(QUARTER))
        try:
            with Feed(self._settings, clock, self._scenario.moments) as self._feed, Screen(names) as self._show:
                perform(self._tempo, seconds, self._step, self._settle)
                verdict, mails_waiting = self._look()
            figures = self._watch.figures()
            return Outcome(verdict, figures, self._feed.sent, mails_waiting, time.monotonic() - begun)
        finally:
            self._watch.close()

    def stay(self) -> None:
        """Let the bank answer what is still handed to it, until the stack is over."""
        while not self._stack.over.wait(_STAY_SECONDS):
            self._bank.step(self._tempo.now())

    def _step(self, title: str) -> None:
        if self._stack.over.is_set():
            raise self._stack.failure or StaffelError("the stack has stopped")
        now = self._tempo.now()
        self._feed.send_due(now)
        self._bank.step(now)
        if time.monotonic() - self._pictured_at >= _PICTURE_SECONDS:
            self._pictured_at = time.monotonic()
            self._show(Scene(now, title, self._feed.sent, self._reports, self._watch.figures()))
        time.sleep(_STEP_SECONDS)

    def _settle(self, act: Act) -> None:
        """Wait until the stream has applied all that was sent and, if the act is about money, all is with the bank."""
        self._feed.flush()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline and not (self._watch.caught_up() and (not act.paid or self._all_paid())):
            self._step(act.title)

    def _all_paid(self) -> bool:
        figures = self._watch.figures()
        return figures.closes["final"] > 0 and figures.payments > 0 and figures.payments_waiting == 0

    def _look(self) -> tuple[Verdict, int]:
        """Compare once nothing moves any more; again for a while if there are differences, since all of it is late.

        Answers how many mails are still to be sent, too.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            quiet = self._be_quiet(deadline)
            verdict = compare(self._scenario, self._found())
            if not verdict.differences or time.monotonic() > deadline:
                return verdict, 0 if quiet else self._mails_waiting()

    def _be_quiet(self, deadline: float) -> bool:
        """Wait until no more mails come, or the deadline."""
        seen, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            self._step("the last mails go out; then the recount")
            mails = self._watch.figures().mails
            if mails != seen:
                seen, since = mails, time.monotonic()
            if time.monotonic() - since > _QUIET_SECONDS:
                return True
        return False

    def _mails_waiting(self) -> int:
        address = f"http://127.0.0.1:{self._settings.port(Port.NOTIFICATION)}/metrics"
        with urllib.request.urlopen(address) as answer:
            waiting = re.search(r'^notification_messages{state="pending"} (\S+)', answer.read().decode(), re.MULTILINE)
        return int(float(waiting[1])) if waiting else 0

    def _found(self) -> Found:
        settings = self._settings
        with urllib.request.urlopen(f"http://127.0.0.1:{settings.port(Port.INBOX)}/api/mails") as answer:
            ids = Counter(mail["message_id"] for mail in json.load(answer))
        return Found(
            standings=self._standings(),
            payable_minor=self._watch.payable_by_partner(),
            paid_minor=paid_by_iban(payment_files(settings)),
            arrived_minor=self._watch.arrived_by_partner(),
            came_back_minor=self._watch.came_back_by_partner(),
            dead_letters=self._watch.figures().dead_letters,
            mails_twice=sum(number - 1 for number in ids.values()),
        )

    def _standings(self) -> dict[tuple[str, str], Expected]:
        """Every partner's standing as his page shows it, in this quarter and the next."""
        programme = parse(Path(self._settings.programme).read_text("utf-8"))
        engine = open_database(self._settings)
        now = self._tempo.now()
        found = {}
        for actor in self._scenario.actors:
            for quarter in (QUARTER, QUARTER.next):
                his: dict[str, Any] | None = standing(engine, programme, actor.id, quarter, now)
                if his is not None:
                    found[actor.id, str(quarter)] = Expected(his["units"], his["tier"], his["rebate_minor"])
        engine.dispose()
        return found


def payment_files(settings: Settings) -> list[Path]:
    """The payment files written so far, oldest first."""
    return sorted(Path(settings.payments).glob("*.xml"), key=lambda path: path.stat().st_mtime)
