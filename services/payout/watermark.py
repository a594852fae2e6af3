"""Knows when everything that was in the topics at some moment has been read.

Lines and closes are separate topics: a close can be read before the lines that it was made from. The stream writes both
in one transaction, so once every partition was read past the end that it had at a moment, open transactions included,
none that is visible anywhere at that moment is still half read.
"""

from __future__ import annotations

from collections.abc import Mapping

from deploy.runtime import kafka
from deploy.runtime.settings import Settings

Ends = Mapping[tuple[str, int], int]


class Watermark:
    """Asks the broker for the ends of partitions, counting what is not committed yet."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = kafka.reader(settings, isolation_level="read_uncommitted")

    def ends(self, reached: Ends) -> Ends:
        """Where these partitions end now."""
        return kafka.ends(self._consumer, reached)

    def close(self) -> None:
        """Let the broker go."""
        self._consumer.close()


def passed(ends: Ends, reached: Ends) -> bool:
    """Whether a reader has come to these ends."""
    return all(reached[place] >= end for place, end in ends.items())
