"""Puts the office together, and opens it."""

from __future__ import annotations

from deploy.runtime.settings import Port
from services.kit.office.protocol import Operation
from services.kit.office.server import Counter, Office
from services.payout.office import bank, details, holds, runs
from services.payout.office.means import Means

NAME = "payout"
OPERATIONS: tuple[Operation, ...] = (*details.OPERATIONS, *holds.OPERATIONS, *runs.OPERATIONS, *bank.OPERATIONS)
"""All that it does, with the role that each needs."""


def open_office(means: Means) -> Office:
    """Open it. Raises NotReady if its port is taken."""
    return Office(means.settings, Port.PAYOUT_OFFICE, NAME, Counter(means.settings, NAME, means, OPERATIONS))
