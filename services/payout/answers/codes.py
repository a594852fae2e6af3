"""The reasons that banks give for refusing or returning a payment (ISO's external codes), as far as we know them."""

from __future__ import annotations

KNOWN = frozenset(
    {
        *("AC01", "AC02", "AC03", "AC04", "AC06", "AC13", "AC14", "AG01", "AG02", "AG03"),
        *("AM01", "AM02", "AM03", "AM04", "AM05", "AM09", "AM10", "AM18"),
        *("BE01", "BE04", "BE05", "BE06", "CNOR", "CURR", "CUST", "DNOR", "DT01", "DUPL", "ED05"),
        *("FF01", "FOCR", "MD07", "MS02", "MS03", "NARR", "RC01", "RC03", "RC04", "RR01", "RR02", "RR03", "RR04"),
        *("SL01", "SL02", "TM01"),
    }
)
"""What a metric may be labelled with; the bank decides how many others there are."""

WRONG_ACCOUNT = frozenset({"AC01", "AC03", "AC04", "AC06", "BE04", "RC01"})
"""Paying the same account again would fail again: number wrong, closed or blocked, address missing, bank unknown."""

DUPLICATE = frozenset({"AM05", "DUPL"})
"""Not a refusal: the bank has had the same already, so that one decides."""


def label(code: str | None) -> str:
    """The code as a metric's label."""
    return code if code in KNOWN else "other" if code else ""
