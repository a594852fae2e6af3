"""The ledger, as the bookkeeper's programs read it: DATEV, beancount, a table. For the same period and the same ledger
always the same bytes.

A journal belongs to the day, in the programme's zone, at whose instant it was booked.
"""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """For which program."""

    DATEV = "datev"
    BEANCOUNT = "beancount"
    CSV = "csv"
