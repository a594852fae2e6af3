"""When a partition's lines leave its state: once nothing that may still come can change them. A portion at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from schemas.codec import Codec
from schemas.packed import publish
from schemas.topics import MOVED_TO, SALE_LINES, SETTLED_LINES, SETTLED_SALES
from schemas.values import line_key
from streams.outgoing import Outgoing
from streams.rules.calendar import over_by
from streams.rules.settled import Portion, key_of
from streams.rules.state import State
from streams.surroundings import Surroundings

_EACH = timedelta(days=1)
_AGAIN_SECONDS = 10.0
_LINES = 5_000
"""So many lines make a transaction, and more only to complete a portion: sales go on in between."""


class Settling:
    """Says what is to leave. Asked by the partition between batches."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._looked_at: datetime | None = None
        self._tried_at: float | None = None
        self._over: Callable[[str], bool] = lambda _: False
        self._leaving: Iterator[Portion] | None = None

    def next(self, state: State, applied_until: Callable[[], datetime | None]) -> list[Portion]:
        """The next portions to be moved; none most of the time.

        ``applied_until`` is an instant by the broker's time before which nothing was recorded that is not applied; None
        if nobody can say. It costs requests, and is only asked if there is something to be done.
        """
        if self._leaving is None and not self._begin(state, applied_until):
            return []
        assert self._leaving is not None
        chosen: list[Portion] = []
        lines = 0
        for portion in self._leaving:
            chosen.append(portion)
            lines += len(portion.sale_ids)
            if lines >= _LINES:
                return chosen
        if not chosen:
            self._leaving = None
            state.let_go(self._over)
        return chosen

    def _begin(self, state: State, applied_until: Callable[[], datetime | None]) -> bool:
        now, ticks = self._around.clock.now(), self._around.machine.monotonic()
        if self._looked_at is not None and self._looked_at <= now < self._looked_at + _EACH:
            return False
        if self._tried_at is not None and ticks < self._tried_at + _AGAIN_SECONDS:
            return False
        if not state.to_settle(over_by(self._around.programme, now)):
            self._looked_at = now
            return False
        self._tried_at = ticks
        until = applied_until()
        if until is None:
            return False
        self._over = over_by(self._around.programme, until)
        self._leaving = state.portions(state.to_settle(self._over), self._over)
        return True


def moved(portions: Iterable[Portion], state: State, codec: Codec, partition: int) -> Iterator[Outgoing]:
    """The records that move lines to where the stream never reads them again, and keep what is left of them."""
    head, gone = codec.head(SETTLED_LINES), [(MOVED_TO, SETTLED_LINES.name.encode())]
    for sale_ids, sales in portions:
        packed = state.packed_lines(sales.partner_id)
        for sale_id in sale_ids:
            key = line_key(sales.partner_id, sale_id).encode()
            line = publish(head, sales.partner_id, sale_id, packed[sale_id])
            yield Outgoing(SETTLED_LINES, key, line, [], partition)
            yield Outgoing(SALE_LINES, key, None, gone, partition)
        yield Outgoing(SETTLED_SALES, key_of(sales).encode(), codec.encode(SETTLED_SALES, sales), [], partition)
