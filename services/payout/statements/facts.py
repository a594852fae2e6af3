"""What a statement says, before it has words: figures, names and dates as they stood when it was issued.

Kept as JSON for as long as the statement: a field that is added needs a default, and none is ever taken away.
"""

from __future__ import annotations

import hashlib
from datetime import date
from enum import StrEnum

import msgspec

from streams.rules.terms import VatTreatment


class Kind(StrEnum):
    """Why there is a statement; the package's docstring says more."""

    PAYMENT = "payment"
    SET_OFF = "set_off"
    CARRIED = "carried"


class Party(msgspec.Struct, frozen=True):
    """Vendor or partner. What is not known is empty and not printed."""

    name: str
    address: tuple[str, ...] = ()
    country: str = ""
    vat_id: str = ""


class Transfer(msgspec.Struct, frozen=True):
    """The payment that a statement belongs to."""

    end_to_end_id: str
    iban: str
    """Masked."""
    execution_date: date


class Position(msgspec.Struct, frozen=True):
    """One revision of a quarter: what it made payable, or took back."""

    obligation_id: str
    quarter: str
    revision: int
    units: int
    rebate_minor: int
    """The rebate of the quarter with this revision."""
    settled_minor: int
    """What earlier revisions had made payable of it."""
    amount_minor: int
    """The rest: below zero a clawback."""
    carried_on: str = ""
    """Number of the statement that carried it forward before."""


class Return(msgspec.Struct, frozen=True):
    """Units of a sale that came back."""

    return_id: str
    returned_on: date
    units: int


class Line(msgspec.Struct, frozen=True):
    """A sale that counts, or did until all of it came back."""

    sale_id: str
    sold_on: date
    product_id: str
    quantity: int
    units: int
    """What counts: the quantity less what came back."""
    serial_numbers: tuple[str, ...] = ()
    returns: tuple[Return, ...] = ()


class QuarterPart(msgspec.Struct, frozen=True):
    """A quarter that the positions are about, as of its latest revision among them."""

    quarter: str
    terms_version: str
    units: int
    tier: int
    """Threshold of the tier reached, in units."""
    rate_minor: int
    lines: tuple[Line, ...]

    @property
    def later_units(self) -> int:
        """Units by which reports since that revision have changed the quarter. A later revision settles them."""
        return sum(line.units for line in self.lines) - self.units


class VatPart(msgspec.Struct, frozen=True):
    """The part of the amount that is treated alike. Amount = net + tax."""

    treatment: VatTreatment
    rate: str
    amount_minor: int
    tax_minor: int

    @property
    def net_minor(self) -> int:
        return self.amount_minor - self.tax_minor


class Replaced(msgspec.Struct, frozen=True):
    """An earlier statement whose payment never arrived."""

    number: str
    end_to_end_id: str
    returned_on: date | None
    """None: the bank refused it at once."""


class Facts(msgspec.Struct, frozen=True):
    """All that a statement is made of."""

    kind: Kind
    number: str
    document_id: str
    issued_on: date
    language: str
    currency: str
    programme_id: str
    programme: str
    programme_hash: str
    vendor: Party
    partner_id: str
    partner: Party
    transfer: Transfer | None
    positions: tuple[Position, ...]
    quarters: tuple[QuarterPart, ...]
    products: dict[str, str]
    """Names of the products in the lines, by id."""
    vat: tuple[VatPart, ...] = ()
    replaces: tuple[Replaced, ...] = ()

    @property
    def total_minor(self) -> int:
        """The sum of the positions: what is paid, zero where it is set off, below zero where it is carried forward."""
        return sum(position.amount_minor for position in self.positions)

    @property
    def paid_minor(self) -> int:
        return self.total_minor if self.kind is Kind.PAYMENT else 0

    @property
    def opening_minor(self) -> int:
        """What was carried forward from earlier statements."""
        return sum(position.amount_minor for position in self.positions if position.carried_on)


_encoder = msgspec.json.Encoder(order="sorted")


def freeze(facts: Facts) -> bytes:
    """The facts as JSON: the same bytes for the same facts."""
    return _encoder.encode(facts)


def thaw(frozen: bytes) -> Facts:
    """The facts again."""
    return msgspec.json.decode(frozen, type=Facts)


def sha256(content: bytes) -> str:
    """The hash under which bytes are kept."""
    return hashlib.sha256(content).hexdigest()
