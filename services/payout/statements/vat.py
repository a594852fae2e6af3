"""Value added tax: how the amount of a statement divides into net and the tax contained in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from services.payout.statements.facts import VatPart
from streams.rules.terms import Vat


def parts(amounts: Iterable[tuple[Vat, int]]) -> tuple[VatPart, ...]:
    """The amounts of a document by how they are treated. Tax is computed on each sum, never on a unit or a position."""
    sums: defaultdict[Vat, int] = defaultdict(int)
    for vat, amount_minor in amounts:
        sums[vat] += amount_minor
    return tuple(
        VatPart(vat.treatment, vat.rate, amount, contained(amount, vat.rate_hundredths))
        for vat, amount in sums.items()
        if amount
    )


def contained(amount_minor: int, rate_hundredths: int) -> int:
    """The tax in a gross amount, in minor units, half up; of an amount below zero the same with its sign.

    ``rate_hundredths`` is in hundredths of a per cent: 1900 is 19 %.
    """
    whole = 10_000 + rate_hundredths
    tax = (2 * abs(amount_minor) * rate_hundredths + whole) // (2 * whole)
    return tax if amount_minor >= 0 else -tax
