"""Sales that nothing changes any more: their lines leave the state, and of each stay eight bytes by which it is known
again, and of all those of a partner's quarter what they weigh in its tally.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple, TypeAlias

from schemas.events import LineStatus
from schemas.packed import weigh
from schemas.settled import SettledSales

_BYTES = 8
_LINES = 5_000
_LINES_BYTES = 4 << 20
Digests: TypeAlias = "array[int]"
"""Sorted."""


class Weight(NamedTuple):
    """What lines come to: units, and how many there are of each status."""

    units: int = 0
    counted: int = 0
    pending: int = 0
    rejected: int = 0
    returned: int = 0


class Portion(NamedTuple):
    """Lines to be moved together, all of a partner and quarter, and what is to stay of them."""

    sale_ids: Sequence[str]
    sales: SettledSales


class Settled:
    """What is left of all settled sales."""

    def __init__(self) -> None:
        self._sales: dict[str, Digests] = {}
        self._weights: dict[str, dict[str, Weight]] = {}

    def keep(self, events: Iterable[SettledSales]) -> None:
        """Take in records; each once, since what they weigh is added up."""
        changed = set()
        for event in events:
            own = self._sales.setdefault(event.partner_id, array("Q"))
            own.extend(_digests_in(event.sales))
            self.weigh_in(event)
            changed.add(event.partner_id)
        for partner_id in changed:
            self._sales[partner_id] = array("Q", sorted(self._sales[partner_id]))

    def weigh_in(self, event: SettledSales) -> None:
        """Take in what sales weigh that are known already."""
        new = Weight(event.units, event.counted, event.pending, event.rejected, event.returned)
        both = Weight(*map(sum, zip(self.weight(event.partner_id, event.quarter), new, strict=True)))
        self._weights.setdefault(event.partner_id, {})[sys.intern(event.quarter)] = both

    def forget_weights(self, partner_id: str) -> None:
        """Keep of a partner's sales only by what they are known again."""
        self._weights.pop(partner_id, None)

    def sales_of(self, partner_id: str) -> Digests | None:
        """By what a partner's settled sales are known again; None if he has none."""
        return self._sales.get(partner_id)

    def weight(self, partner_id: str, quarter: str) -> Weight:
        """What the settled sales of a quarter weigh."""
        return self._weights.get(partner_id, _NOTHING).get(quarter, _NO_WEIGHT)

    def quarters_of(self, partner_id: str) -> Set[str]:
        """The quarters in which a partner has settled sales."""
        return self._weights.get(partner_id, _NOTHING).keys()

    def partners(self) -> Set[str]:
        """Of whom it is known what their settled sales weigh."""
        return self._weights.keys()


_NO_WEIGHT = Weight()
_NOTHING: Mapping[str, Weight] = {}


def is_among(known: Digests, sale_id: str) -> bool:
    """Whether a sale is one of these."""
    wanted = digest(sale_id)
    at = bisect_left(known, wanted)
    return at < len(known) and known[at] == wanted


def digest(sale_id: str) -> int:
    """By what a sale is known again among those of its partner."""
    return int.from_bytes(hashlib.blake2b(sale_id.encode(), digest_size=_BYTES).digest(), "big")


def key_of(event: SettledSales) -> str:
    """The key of its record: a sale is settled once, so no two begin with the same."""
    return f"{event.partner_id}/{event.quarter}/{event.sales[:_BYTES].hex()}"


def portions(partner_id: str, packed: Mapping[str, bytes], over: Callable[[str], bool]) -> Iterator[Portion]:
    """The lines that lie in quarters that are over, in portions that fit into a transaction."""
    by_quarter: defaultdict[str, list[str]] = defaultdict(list)
    for sale_id, line in packed.items():
        quarter = weigh(line)[1]
        if quarter and over(quarter):
            by_quarter[quarter].append(sale_id)
    for quarter, sale_ids in sorted(by_quarter.items()):
        chosen: list[str] = []
        size = 0
        for sale_id in sale_ids:
            chosen.append(sale_id)
            size += len(packed[sale_id])
            if len(chosen) == _LINES or size > _LINES_BYTES:
                yield _portion(partner_id, quarter, chosen, packed)
                chosen, size = [], 0
        if chosen:
            yield _portion(partner_id, quarter, chosen, packed)


def summed_up(partner_id: str, quarter: str, lines: Mapping[str, tuple[LineStatus, int]]) -> SettledSales:
    """What is left of lines, given by sale id as status and units."""
    number = Counter(status for status, _ in lines.values())
    return SettledSales(
        partner_id=partner_id,
        quarter=quarter,
        units=sum(units for _, units in lines.values()),
        counted=number[LineStatus.COUNTED],
        pending=number[LineStatus.PENDING],
        rejected=number[LineStatus.REJECTED],
        returned=number[LineStatus.RETURNED],
        sales=b"".join(each.to_bytes(_BYTES, "big") for each in sorted(map(digest, lines))),
    )


def _portion(partner_id: str, quarter: str, sale_ids: list[str], packed: Mapping[str, bytes]) -> Portion:
    weights = {sale_id: weigh(packed[sale_id]) for sale_id in sale_ids}
    return Portion(sale_ids, summed_up(partner_id, quarter, {s: (w[0], w[2]) for s, w in weights.items()}))


def _digests_in(sales: bytes) -> Iterator[int]:
    return (int.from_bytes(sales[at : at + _BYTES], "big") for at in range(0, len(sales), _BYTES))
