"""What a batch does to a partition's state: records and calendar moments in, a draft of changes out.

``State`` is what the partition has in memory. A ``Draft`` lies over it and collects changes and events; nothing changes
below until the draft's transaction is committed and ``State.absorb`` takes it over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta

from msgspec.structs import replace

from schemas.events import (
    CloseKind,
    Event,
    LineStatus,
    Partner,
    Phase,
    SaleLine,
    SaleReported,
    SaleReturned,
    Tally,
)
from schemas.packed import pack, unpack
from schemas.values import Quarter
from streams.rules import calendar, lines, tallies
from streams.rules.calendar import Moment, MomentKind
from streams.rules.lines import Reason
from streams.rules.settled import Digests, is_among
from streams.rules.state import State
from streams.rules.tallies import Running
from streams.rules.terms import Programme, Terms


class Account:
    """A partner within a draft: what is committed of him, and what the draft changes."""

    __slots__ = ("_known", "_packed", "_reopened", "_settled", "partner", "partner_id", "running")

    def __init__(
        self, partner_id: str, partner: Partner | None, known: Mapping[str, bytes], settled: Digests | None
    ) -> None:
        self.partner_id = partner_id
        self.partner = partner
        self._known = known
        self._settled = settled
        self._packed: dict[str, bytes] = {}
        """New lines by sale id."""
        self._reopened: dict[str, SaleLine] = {}
        """Lines that were changed: not packed before the end, since more may be coming for the same one."""
        self.running: dict[str, Running] = {}
        """The tallies that they change, by quarter."""

    def line(self, sale_id: str) -> SaleLine | None:
        """What is known of a sale."""
        packed = self._packed.get(sale_id) or self._known.get(sale_id)
        if packed is None:
            return None
        return self._reopened.get(sale_id) or unpack(self.partner_id, sale_id, packed)

    def has_settled(self, sale_id: str) -> bool:
        """Whether it is a sale whose line has left the state."""
        return self._settled is not None and is_among(self._settled, sale_id)

    def lines(self) -> list[SaleLine]:
        """What is known of all his sales whose lines are there."""
        found = [unpack(self.partner_id, *packed) for packed in {**self._known, **self._packed}.items()]
        return [self._reopened.get(line.sale_id, line) for line in found]

    def put(self, line: SaleLine, *, new: bool) -> None:
        """Change a line, or add one."""
        if new:
            self._packed[line.sale_id] = pack(line)
        else:
            self._reopened[line.sale_id] = line

    def changed(self) -> dict[str, bytes]:
        """Changed lines, packed, by sale id."""
        for sale_id, line in self._reopened.items():
            self._packed[sale_id] = pack(line)
        self._reopened = {}
        return self._packed


class Draft:
    """Changes over a state, not yet committed."""

    def __init__(self, state: State, programme: Programme, calendar_at: datetime) -> None:
        self._state = state
        self._programme = programme
        self._calendar_at = calendar_at
        self.partners: dict[str, Partner | None] = {}
        self._accounts: dict[str, Account] = {}
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._terms_of: dict[str, Terms] = {}
        self.events: list[Event] = []
        self.results: Counter[tuple[str, str]] = Counter()
        """How records ended: (result, reason) -> number."""
        self.units_counted: Counter[tuple[str, int]] = Counter()
        """Units that entered a tally: (country, tier reached) -> number."""

    @property
    def lines(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Each partner with changed lines, and these, packed, by sale id."""
        return ((partner_id, changed) for partner_id, own in self._accounts.items() if (changed := own.changed()))

    @property
    def tallies(self) -> dict[tuple[str, str], Tally]:
        """Changed tallies, by partner and quarter."""
        self._finish()
        return self._tallies

    # --- records -------------------------------------------------------------------------------------------------

    def sale(self, event: SaleReported | SaleReturned, recorded_at: datetime, offset: int) -> None:
        """Apply one record of ``sales``."""
        account = self._accounts.get(event.partner_id) or self._open(event.partner_id)
        before = account.line(event.sale_id)
        if self._is_settled(account, before, event.sale_id, recorded_at):
            self.results[LineStatus.REJECTED, Reason.OLDER_THAN_HORIZON] += 1
            return
        if before is None and isinstance(event, SaleReported):
            after = lines.first_report(event, recorded_at, offset, account.partner, self._programme)
        else:
            if isinstance(event, SaleReported):
                facts = lines.with_sale(before, event, recorded_at, offset)
            else:
                facts = lines.with_return(before, event, recorded_at, offset)
            if facts is before:
                self.results["duplicate", ""] += 1
                return
            after = lines.judged(facts, account.partner, self._programme)
        self._put_line(account, before, after, recorded_at)
        self.results[after.status, after.reason or ""] += 1

    def partner(self, partner_id: str, partner: Partner | None, recorded_at: datetime) -> None:
        """Apply one record of ``partners``: his pending sales are counted now; None means that he is known no more.

        Being forgotten changes no verdict that was given: what he earned while registered stays his.
        """
        self.partners[partner_id] = partner
        account = self._accounts.get(partner_id) or self._open(partner_id)
        account.partner = partner
        if partner is None:
            return
        for line in account.lines():
            if lines.settled(line, self._programme, recorded_at):
                continue
            after = lines.judged(line, partner, self._programme)
            if after != line:
                self._put_line(account, line, after, recorded_at)
        for tally in self._state.tallies_of(partner_id):
            if tally.phase is Phase.FINAL and tally.rebate_minor != tally.payable_minor:
                # He was not known when the quarter was closed: ``settle`` makes up for it.
                self.tallies.setdefault((partner_id, tally.quarter), tally)

    def settle(self, at: datetime) -> None:
        """End of a batch: where a final quarter's rebate moved, say what is payable now (rule 8)."""
        for (partner_id, _), tally in list(self.tallies.items()):
            if tally.phase is Phase.FINAL and tally.rebate_minor != tally.payable_minor and self._partner(partner_id):
                kind = CloseKind.ADJUSTMENT if tally.revision >= 1 else CloseKind.FINAL
                self._close(tally, kind, at)

    # --- the calendar --------------------------------------------------------------------------------------------

    def moment(self, moment: Moment) -> None:
        """Apply one due moment to every partner of the partition."""
        self._calendar_at = moment.at
        self._finish()
        match moment.kind:
            case MomentKind.WEEK:
                for partner in self._members(moment.day, moment.day + timedelta(days=1)):
                    tally, summary = calendar.summarised(
                        self._tally(partner.partner_id, Quarter.of(moment.day)), self._programme, moment
                    )
                    self.tallies[partner.partner_id, tally.quarter] = tally
                    self.events.append(summary)
            case MomentKind.PROVISIONAL:
                self._close_all(moment.quarter, CloseKind.PROVISIONAL, Phase.PROVISIONAL, moment.at)
            case MomentKind.FINAL:
                self._close_all(moment.quarter, CloseKind.FINAL, Phase.FINAL, moment.at)

    def _close_all(self, quarter: Quarter, kind: CloseKind, phase: Phase, at: datetime) -> None:
        members = {p.partner_id for p in self._members(quarter.first_day, quarter.next.first_day)}
        for partner_id in sorted(members | self._with_tally(quarter)):
            tally = self._tally(partner_id, quarter)
            done = tally.revision >= (0 if kind is CloseKind.PROVISIONAL else 1)
            if self._partner(partner_id) is None or done:
                # Nobody to tell yet, or told already; the phase moves on all the same.
                self.tallies[partner_id, tally.quarter] = replace(tally, phase=phase)
            else:
                self._close(tally, kind, at)

    # --- below ---------------------------------------------------------------------------------------------------

    def _open(self, partner_id: str) -> Account:
        partner = self._state.partners.get(partner_id)
        known, settled = self._state.packed_lines(partner_id), self._state.settled.sales_of(partner_id)
        account = self._accounts[partner_id] = Account(partner_id, partner, known, settled)
        return account

    def _is_settled(self, account: Account, line: SaleLine | None, sale_id: str, at: datetime) -> bool:
        """Whether it is a sale that nothing changes any more, be its line still there or not."""
        return account.has_settled(sale_id) if line is None else lines.settled(line, self._programme, at)

    def _finish(self) -> None:
        """Make the running tallies results."""
        for account in self._accounts.values():
            for quarter, running in account.running.items():
                self._tallies[account.partner_id, quarter] = running.result()
            account.running = {}

    def _close(self, tally: Tally, kind: CloseKind, at: datetime) -> None:
        tally, event = calendar.closed(tally, kind, at)
        self.tallies[tally.partner_id, tally.quarter] = tally
        self.events.append(event)

    def _put_line(self, account: Account, before: SaleLine | None, after: SaleLine, at: datetime) -> None:
        """Store a line and move its weight from the tally it was in to the one it belongs to."""
        account.put(after, new=before is None)
        if before is None or before.quarter == after.quarter:
            quarters = [after.quarter]
        else:
            quarters = sorted({before.quarter, after.quarter})
        for quarter in quarters:
            if quarter:
                self._weigh(account, quarter, before, after, at)

    def _weigh(self, account: Account, quarter: str, before: SaleLine | None, after: SaleLine, at: datetime) -> None:
        """Let a changed line change a quarter's tally."""
        running = account.running.get(quarter) or self._run(account, quarter)
        units = running.units
        if before is not None and before.quarter == quarter:
            running.exclude(before)
        if after.quarter == quarter:
            running.include(after)
        change = running.changed(at)
        if change is not None:
            self.events.append(change)
        if running.units > units:
            country = account.partner.country if account.partner else ""
            self.units_counted[country, running.tier.units] += running.units - units

    def _run(self, account: Account, name: str) -> Running:
        tally = self._tallies.get((account.partner_id, name)) or self._state.tally(account.partner_id, name)
        if tally is None:
            tally = self._new_tally(account.partner_id, Quarter.parse(name))
        running = account.running[name] = Running(tally, self._terms(name))
        return running

    def _terms(self, name: str) -> Terms:
        terms = self._terms_of.get(name)
        if terms is None:
            terms = self._terms_of[name] = self._programme.terms_for(Quarter.parse(name))
        return terms

    def _partner(self, partner_id: str) -> Partner | None:
        if partner_id in self.partners:
            return self.partners[partner_id]
        return self._state.partners.get(partner_id)

    def _tally(self, partner_id: str, quarter: Quarter) -> Tally:
        name = str(quarter)
        found = self._tallies.get((partner_id, name)) or self._state.tally(partner_id, name)
        return found or self._new_tally(partner_id, quarter)

    def _new_tally(self, partner_id: str, quarter: Quarter) -> Tally:
        phase = calendar.phase_at(self._programme, quarter, self._calendar_at)
        return tallies.new_tally(self._programme, partner_id, quarter, phase)

    def _members(self, first: date, end: date) -> Iterable[Partner]:
        """Partners who were registered at some time between two days."""
        known = {**self._state.partners, **self.partners}
        for partner_id in sorted(known):
            partner = known[partner_id]
            if partner is None or partner.registered_on >= end:
                continue
            if partner.left_on is None or partner.left_on > first:
                yield partner

    def _with_tally(self, quarter: Quarter) -> set[str]:
        name = str(quarter)
        return self._state.with_tally(name) | {who for who, own in self.tallies if own == name}
