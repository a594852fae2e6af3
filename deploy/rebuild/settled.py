"""Sales whose lines have left the stream's state: which they are, and what must be left of them there. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from deploy.rebuild.told import Key
from schemas.events import SaleLine
from schemas.settled import SettledSales
from streams.rules.settled import Settled, is_among, key_of, summed_up

_SALES = 5_000
"""So many to a record."""
Records = dict[str, SettledSales | None]


class KnownAgain:
    """Which sales the state says to have let go."""

    def __init__(self, records: Iterable[SettledSales]) -> None:
        self._settled = Settled()
        self._settled.keep(records)

    def knows(self, line: SaleLine) -> bool:
        own = self._settled.sales_of(line.partner_id)
        return own is not None and is_among(own, line.sale_id)


def compare_settled(
    moved: Iterable[SaleLine], live: Mapping[str, SettledSales | None]
) -> Iterator[tuple[str, str, Records]]:
    """Partner by partner and quarter by quarter what is not as it should be: the partner, what, and what to write."""
    by_key: defaultdict[Key, list[SaleLine]] = defaultdict(list)
    for line in moved:
        by_key[line.partner_id, line.quarter].append(line)
    standing: defaultdict[Key, Records] = defaultdict(dict)
    for record, sales in live.items():
        partner_id, quarter, _ = (*record.split("/", 2), "", "")[:3]
        standing[partner_id, quarter][record] = sales
    for key in sorted(by_key.keys() | standing.keys()):
        right = dict(_records(*key, by_key[key]))
        if _total(*key, standing[key].values()) != _total(*key, right.values()):
            what = f"what is left of the settled sales of {key[1]} is not what they come to"
            yield key[0], what, dict.fromkeys(standing[key]) | right


def _records(partner_id: str, quarter: str, lines: list[SaleLine]) -> Iterator[tuple[str, SettledSales]]:
    lines.sort(key=lambda line: line.sale_id)
    for at in range(0, len(lines), _SALES):
        chosen = lines[at : at + _SALES]
        sales = summed_up(partner_id, quarter, {line.sale_id: (line.status, line.units) for line in chosen})
        yield key_of(sales), sales


def _total(partner_id: str, quarter: str, records: Iterable[SettledSales | None]) -> object:
    """What records come to together; None among them if one can't be what its key says."""
    found, settled = list(records), Settled()
    settled.keep(sales for sales in found if sales is not None)
    known = settled.sales_of(partner_id)
    return None in found, settled.weight(partner_id, quarter), known.tolist() if known is not None else []
