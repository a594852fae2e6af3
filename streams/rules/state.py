"""What a partition has in memory: the committed state that it published, and what proves that it is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from schemas.events import LineStatus, Partner, Phase, SaleLine, Tally
from schemas.packed import unpack, weigh
from schemas.settled import SettledSales
from schemas.values import Quarter
from streams.rules import tallies
from streams.rules.settled import Portion, Settled, portions
from streams.rules.terms import Programme

if TYPE_CHECKING:
    from streams.rules.fold import Draft


class Faults(NamedTuple):
    """What is wrong with a state. Nothing, if it is sound."""

    differences: list[str]
    """Where a tally is not the sum of its lines."""
    beyond: int
    """How many lines come from behind the position."""


_NOTHING: Mapping[str, bytes] = {}


class State:
    """The committed state of one partition: partners, and each partner's lines and tallies. Lines are packed.

    Lines of sales that nothing changes any more leave it, and all of a partner whom the registry has forgotten and of
    whom nothing else is left to do: he is ``away`` until his standings are kept again.
    """

    def __init__(self) -> None:
        self.partners: dict[str, Partner] = {}
        self.settled = Settled()
        self.away: set[str] = set()
        self._lines: dict[str, dict[str, bytes]] = {}
        self._tallies: dict[str, dict[str, Tally]] = {}

    def line(self, partner_id: str, sale_id: str) -> SaleLine | None:
        """What is known of a sale."""
        found = self._lines.get(partner_id, _NOTHING).get(sale_id)
        return None if found is None else unpack(partner_id, sale_id, found)

    def packed_lines(self, partner_id: str) -> Mapping[str, bytes]:
        """A partner's lines by sale id."""
        return self._lines.get(partner_id, _NOTHING)

    def tally(self, partner_id: str, quarter: str) -> Tally | None:
        """A partner's standing in a quarter."""
        return self._tallies.get(partner_id, {}).get(quarter)

    def tallies_of(self, partner_id: str) -> Iterable[Tally]:
        """A partner's standings."""
        return self._tallies.get(partner_id, {}).values()

    def with_tally(self, quarter: str) -> set[str]:
        """The partners who have a standing in a quarter."""
        return {partner_id for partner_id, own in self._tallies.items() if quarter in own}

    def tallies(self) -> Iterator[Tally]:
        """All standings."""
        return (tally for own in self._tallies.values() for tally in own.values())

    def keep_line(self, partner_id: str, sale_id: str, packed: bytes) -> None:
        """Take in a line that was read back."""
        self._lines.setdefault(partner_id, {})[sale_id] = packed

    def drop_line(self, partner_id: str, sale_id: str) -> None:
        """Forget a line."""
        own = self._lines.get(partner_id, {})
        own.pop(sale_id, None)
        if not own:
            self._lines.pop(partner_id, None)

    def known(self) -> set[str]:
        """Everybody of whom there is a line or a standing, or was a line."""
        return {*self._lines, *self._tallies, *self.settled.partners()}

    def keep_tally(self, tally: Tally) -> None:
        """Take in a tally that was read back."""
        self._tallies.setdefault(tally.partner_id, {})[tally.quarter] = tally

    def keep_partner(self, partner_id: str, partner: Partner | None) -> None:
        """Take in what the registry says of a partner; None if it knows him no more."""
        if partner is None:
            self.partners.pop(partner_id, None)
        else:
            self.partners[partner_id] = partner

    def settle(self, portions: Iterable[Portion]) -> None:
        """Let lines go that have been moved, and keep what is left of them."""
        for sale_ids, sales in portions:
            gone = set(sale_ids)
            # Anew, not emptied: a dict keeps the room it once needed.
            own = {sale_id: packed for sale_id, packed in self._lines[sales.partner_id].items() if sale_id not in gone}
            if own:
                self._lines[sales.partner_id] = own
            else:
                del self._lines[sales.partner_id]
            self.settled.keep([sales])

    def to_settle(self, over: Callable[[str], bool]) -> list[str]:
        """The partners who have lines in quarters that are over, or who can leave."""
        with_lines = (
            partner_id
            for partner_id, own in self._tallies.items()
            if partner_id in self._lines and any(over(name) and self._has_lines(own[name]) for name in own)
        )
        return sorted({*with_lines, *self._leaving(over)})

    def portions(self, partner_ids: Iterable[str], over: Callable[[str], bool]) -> Iterator[Portion]:
        """Their lines that lie in quarters that are over."""
        for partner_id in partner_ids:
            yield from portions(partner_id, self.packed_lines(partner_id), over)

    def let_go(self, over: Callable[[str], bool]) -> None:
        """Forget whom the registry has forgotten, once his quarters are over and nothing of them is left to be told."""
        for partner_id in self._leaving(over):
            self._tallies.pop(partner_id, None)
            self.settled.forget_weights(partner_id)
            self.away.add(partner_id)

    def come_back(
        self, partner_ids: Iterable[str], own: Iterable[Tally], settled_sales: Iterable[SettledSales]
    ) -> None:
        """They were away and are there again, with what had been published of them."""
        self.away.difference_update(partner_ids)
        for tally in own:
            self.keep_tally(tally)
        for sales in settled_sales:
            self.settled.weigh_in(sales)

    def _leaving(self, over: Callable[[str], bool]) -> list[str]:
        return [
            partner_id
            for partner_id, own in self._tallies.items()
            if partner_id not in self.partners
            and partner_id not in self._lines
            and all(over(name) and _nothing_is_due(tally) for name, tally in own.items())
        ]

    def _has_lines(self, tally: Tally) -> bool:
        """Whether some of the lines of a tally are still there."""
        return sum(self.settled.weight(tally.partner_id, tally.quarter)[1:]) < sum(_said(tally)[1:])

    def absorb(self, draft: Draft) -> None:
        """Take over what a committed draft changed."""
        for partner_id, partner in draft.partners.items():
            self.keep_partner(partner_id, partner)
        for partner_id, own in draft.lines:
            self._lines.setdefault(partner_id, {}).update(own)
        for tally in draft.tallies.values():
            self.keep_tally(tally)

    def check(self, position: int) -> Faults:
        """Hold the state against itself, and against the position of the sales that it was made from."""
        differences, beyond = [], 0
        for partner_id in self.known():
            alike: dict[tuple[LineStatus, str, int], int] = {}
            for packed in self.packed_lines(partner_id).values():
                status, quarter, units, offset = weigh(packed)
                kind = status, quarter, units
                alike[kind] = alike.get(kind, 0) + 1
                beyond += offset > position
            own = self._tallies.get(partner_id, {})
            for quarter, tally in own.items():
                left = self.settled.weight(partner_id, quarter)
                units, number = left.units, Counter(dict(zip(tallies.COUNTED, left[1:], strict=True)))
                for (status, lies_in, of_each), lines_alike in alike.items():
                    if lies_in == quarter:
                        units += of_each * lines_alike
                        number[status] += lines_alike
                said = _said(tally)
                found = (units, *(number[status] for status in tallies.COUNTED))
                if said != found:
                    differences.append(f"{partner_id} {quarter}: tally says {said}, lines say {found}")
            with_lines = {quarter for _, quarter, _ in alike if quarter} | self.settled.quarters_of(partner_id)
            untold = with_lines - own.keys()
            differences += [f"{partner_id} {quarter}: lines without a tally" for quarter in sorted(untold)]
        return Faults(differences, beyond)

    def contradicted_by(self, programme: Programme) -> list[str]:
        """Quarters whose tallies a programme would compute otherwise: it was edited where it had been in force."""
        found = set()
        for tally in self.tallies():
            terms = programme.terms_for(Quarter.parse(tally.quarter))
            said = tally.terms_version, tally.currency, tally.rebate_minor
            if said != (terms.version, terms.currency, terms.rebate_minor(tally.units)):
                found.add(tally.quarter)
        return sorted(found)


def _said(tally: Tally) -> tuple[int, ...]:
    return tally.units, tally.counted, tally.pending, tally.rejected, tally.returned


def _nothing_is_due(tally: Tally) -> bool:
    return tally.phase is Phase.FINAL and tally.rebate_minor == tally.payable_minor
