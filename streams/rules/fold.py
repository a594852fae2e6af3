"""What a batch does to a partition's state: records and calendar moments in, a draft of changes out.

``State`` is what the partition has in memory. A ``Draft`` lies over it and collects changes and events; nothing changes
below until the draft's transaction is committed and ``State.absorb`` takes it over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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
from schemas.values import Quarter
from streams.rules import calendar, lines, tallies
from streams.rules.calendar import Moment, MomentKind
from streams.rules.terms import Programme


class State:
    """The committed state of one partition: partners, and each partner's lines and tallies."""

    def __init__(self) -> None:
        self.partners: dict[str, Partner] = {}
        self.lines: dict[str, dict[str, SaleLine]] = {}
        self.tallies: dict[str, dict[str, Tally]] = {}

    def absorb(self, draft: Draft) -> None:
        """Take over what a committed draft changed."""
        for partner_id, partner in draft.partners.items():
            if partner is None:
                self.partners.pop(partner_id, None)
            else:
                self.partners[partner_id] = partner
        for (partner_id, sale_id), line in draft.lines.items():
            self.lines.setdefault(partner_id, {})[sale_id] = line
        for (partner_id, quarter), tally in draft.tallies.items():
            self.tallies.setdefault(partner_id, {})[quarter] = tally

    def differences(self) -> list[str]:
        """Where a tally is not the sum of its lines. Empty in a sound state."""
        wrong = []
        for partner_id, by_quarter in self.tallies.items():
            units: Counter[str] = Counter()
            by_status: Counter[tuple[str, LineStatus]] = Counter()
            for line in self.lines.get(partner_id, {}).values():
                units[line.quarter] += line.units
                by_status[line.quarter, line.status] += 1
            for quarter, tally in by_quarter.items():
                said = (tally.units, tally.counted, tally.pending, tally.rejected, tally.returned)
                found = (units[quarter], *(by_status[quarter, s] for s in tallies.COUNTERS))
                if said != found:
                    wrong.append(f"{partner_id} {quarter}: tally says {said}, lines say {found}")
        return wrong

    def contradicted_by(self, programme: Programme) -> list[str]:
        """Quarters whose tallies a programme would compute otherwise: it was edited where it had been in force."""
        found = set()
        for by_quarter in self.tallies.values():
            for name, tally in by_quarter.items():
                terms = programme.terms_for(Quarter.parse(name))
                said = tally.terms_version, tally.currency, tally.rebate_minor
                if said != (terms.version, terms.currency, terms.rebate_minor(tally.units)):
                    found.add(name)
        return sorted(found)


class Draft:
    """Changes over a state, not yet committed."""

    def __init__(self, state: State, programme: Programme, calendar_at: datetime) -> None:
        self._state = state
        self._programme = programme
        self._calendar_at = calendar_at
        self.partners: dict[str, Partner | None] = {}
        self.lines: dict[tuple[str, str], SaleLine] = {}
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.events: list[Event] = []
        self.results: Counter[tuple[str, str]] = Counter()
        """How records ended: (result, reason) -> number."""
        self.units_counted: Counter[tuple[str, int]] = Counter()
        """Units that entered a tally: (country, tier reached) -> number."""

    # --- records -------------------------------------------------------------------------------------------------

    def sale(self, event: SaleReported | SaleReturned, recorded_at: datetime, offset: int) -> None:
        """Apply one record of ``sales``."""
        before = self._line(event.partner_id, event.sale_id)
        if isinstance(event, SaleReported):
            facts = lines.with_sale(before, event, recorded_at, offset)
        else:
            facts = lines.with_return(before, event, recorded_at, offset)
        if facts is before:
            self.results["duplicate", ""] += 1
            return
        after = lines.judged(facts, self._partner(event.partner_id), self._programme)
        self._put_line(before, after, recorded_at)
        self.results[after.status.value, after.reason or ""] += 1

    def partner(self, partner_id: str, partner: Partner | None, recorded_at: datetime) -> None:
        """Apply one record of ``partners``: his pending sales are counted now; None means that he is known no more.

        Being forgotten changes no verdict that was given: what he earned while registered stays his.
        """
        self.partners[partner_id] = partner
        if partner is None:
            return
        for line in self._lines_of(partner_id):
            after = lines.judged(line, partner, self._programme)
            if after != line:
                self._put_line(line, after, recorded_at)

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

    def _close(self, tally: Tally, kind: CloseKind, at: datetime) -> None:
        tally, event = calendar.closed(tally, kind, at)
        self.tallies[tally.partner_id, tally.quarter] = tally
        self.events.append(event)

    def _put_line(self, before: SaleLine | None, after: SaleLine, at: datetime) -> None:
        """Store a line and move its weight from the tally it was in to the one it belongs to."""
        self.lines[after.partner_id, after.sale_id] = after
        touched = {line.quarter for line in (before, after) if line is not None and line.quarter}
        for name in sorted(touched):
            quarter = Quarter.parse(name)
            terms = self._programme.terms_for(quarter)
            tally = old = self._tally(after.partner_id, quarter)
            if before is not None and before.quarter == name:
                tally = tallies.without(tally, before, terms)
            if after.quarter == name:
                tally = tallies.including(tally, after, terms)
            tally, change = tallies.tier_change(old, replace(tally, as_of=at), terms, at)
            self.tallies[after.partner_id, name] = tally
            if change is not None:
                self.events.append(change)
            if tally.units > old.units:
                partner = self._partner(after.partner_id)
                self.units_counted[partner.country if partner else "", tally.tier] += tally.units - old.units

    def _line(self, partner_id: str, sale_id: str) -> SaleLine | None:
        key = partner_id, sale_id
        return self.lines.get(key) or self._state.lines.get(partner_id, {}).get(sale_id)

    def _lines_of(self, partner_id: str) -> list[SaleLine]:
        drafted = {sale_id: line for (who, sale_id), line in self.lines.items() if who == partner_id}
        return [*{**self._state.lines.get(partner_id, {}), **drafted}.values()]

    def _partner(self, partner_id: str) -> Partner | None:
        if partner_id in self.partners:
            return self.partners[partner_id]
        return self._state.partners.get(partner_id)

    def _tally(self, partner_id: str, quarter: Quarter) -> Tally:
        name = str(quarter)
        found = self.tallies.get((partner_id, name)) or self._state.tallies.get(partner_id, {}).get(name)
        if found is not None:
            return found
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
        return {who for who, own in self._state.tallies.items() if name in own} | {
            who for who, own in self.tallies if own == name
        }
