"""The folder of issued statements: payout puts them there, the portal serves them from there.

A folder for each partner holds, for each statement, ``BA-2027-000123.pdf``, the same as ``.csv``, and a ``.json`` that
says what they are. It comes last: what has none is not there yet. The database is what counts; the folder can be lost.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date
from enum import StrEnum
from pathlib import Path

import msgspec

from schemas.values import PARTNER_ID
from services.kit.files import write

NUMBER = re.compile("BA-[0-9]{4}-[0-9]{6,9}")


class Form(StrEnum):
    """What a statement can be had as; also the ending of its file."""

    PDF = "pdf"
    CSV = "csv"


class Card(msgspec.Struct, frozen=True):
    """What there is to know of a statement without reading it."""

    number: str
    partner_id: str
    issued_on: date
    quarters: tuple[str, ...]
    amount_minor: int
    """What was paid; zero where it was set off, below zero where it is carried forward."""
    currency: str
    pdf_sha256: str
    csv_sha256: str

    def sha256(self, form: Form) -> str:
        """The hash of one of its files."""
        return self.pdf_sha256 if form is Form.PDF else self.csv_sha256


class Shelf:
    """The folder. No path is made of anything but a partner's id and a statement's number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, card: Card, pdf: bytes, csv: bytes) -> None:
        """Write a statement's files. Written again, they are the same."""
        own = self._own(card.partner_id)
        for folder in (self._folder, own):  # what mkdir makes on the way is open to everybody
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(own / f"{card.number}.pdf", pdf)
        write(own / f"{card.number}.csv", csv)
        write(own / f"{card.number}.json", msgspec.json.encode(card))

    def numbers(self) -> set[str]:
        """The numbers of all statements that are there."""
        return {path.stem for path in self._folder.glob("*/BA-*.json")}

    def of_partner(self, partner_id: str) -> list[Card]:
        """A partner's statements, the latest first."""
        found = (self.card(partner_id, path.stem) for path in self._own(partner_id).glob("BA-*.json"))
        return sorted((card for card in found if card), key=lambda card: (card.issued_on, card.number), reverse=True)

    def changed_at(self, partner_id: str) -> int:
        """When a statement was last put there for this partner, in nanoseconds; 0 if there is none."""
        try:
            return self._own(partner_id).stat().st_mtime_ns
        except OSError:
            return 0

    def card(self, partner_id: str, number: str) -> Card | None:
        """What is known of one of a partner's statements; None if he has none of this number."""
        if NUMBER.fullmatch(number) is None:
            return None
        try:
            card = msgspec.json.decode((self._own(partner_id) / f"{number}.json").read_bytes(), type=Card)
        except (OSError, msgspec.DecodeError):
            return None
        # Some file systems take p-1 and P-1 for one.
        return card if (card.partner_id, card.number) == (partner_id, number) else None

    def read(self, partner_id: str, number: str, form: Form) -> bytes | None:
        """The bytes of one of a partner's statements; None if it is not there, or not as it was issued."""
        card = self.card(partner_id, number)
        if card is None:
            return None
        try:
            content = (self._own(partner_id) / f"{number}.{form}").read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == card.sha256(form) else None

    def _own(self, partner_id: str) -> Path:
        if PARTNER_ID.fullmatch(partner_id) is None:
            raise ValueError("not a partner's id")
        return self._folder / partner_id
