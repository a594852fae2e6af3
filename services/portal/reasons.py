"""Why a sale does not count, or money has not arrived, in plain words; and what the partner can do about it.

The keys are the codes in the events. Words are English; the catalogues in ``texts/`` hold the other languages.
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.events import PayoutStatus


class Words(NamedTuple):
    """Why, and what to do."""

    why: str
    do: str
    name: str = ""
    """In a word or two, for a list."""


SALES = {
    "partner-not-registered": Words(
        "You are not registered for the programme yet.",
        "Nothing to do here: as soon as the registration is through, this sale counts.",
        "Partner not registered",
    ),
    "return-before-sale": Words(
        "We know of a return, but not of the sale it belongs to.",
        "The sale is usually in your distributor's next report. If not, ask him for it.",
        "Return without its sale",
    ),
    "quantity-below-one": Words(
        "The report names no units.",
        "Ask your distributor to report this sale again with the right quantity.",
        "Quantity below one",
    ),
    "before-programme": Words(
        "The sale is dated before the programme began.",
        "If the date is wrong, ask your distributor to report the sale again.",
        "Before the programme",
    ),
    "sold-in-future": Words(
        "When the report came in, the date of the sale still lay ahead.",
        "Ask your distributor to report it again with the right date.",
        "Sold in the future",
    ),
    "returned-in-future": Words(
        "When the report came in, the date of the return still lay ahead.",
        "Ask your distributor to report the return again with the right date.",
        "Returned in the future",
    ),
    "older-than-horizon": Words(
        "The report came after the last day on which this quarter could still change.",
        "Nothing can be done for this quarter any more.",
        "Reported too late",
    ),
    "product-not-in-programme": Words(
        "The product was not on the programme's list on the day of the sale.",
        "Check the product number with your distributor; if it is wrong, he can correct it.",
        "Product not in the programme",
    ),
    "country-not-in-programme": Words(
        "The programme does not run in the country that you are registered in.",
        "If your country is wrong, tell your contact at the vendor.",
        "Country not in the programme",
    ),
    "partner-left": Words(
        "The sale is dated after you left the programme.",
        "If the date is wrong, ask your distributor to report the sale again.",
        "Partner had left",
    ),
    "return-exceeds-sale": Words(
        "More units were returned than were sold; only those that were sold have been taken off.",
        "Check the return's quantity with your distributor.",
        "More returned than sold",
    ),
    "conflicting-resend": Words(
        "This sale was reported more than once with different content. The earliest report stands.",
        "If that is the wrong one, ask your distributor to correct it.",
        "Reported differently again",
    ),
}
UNKNOWN = Words("This sale does not count.", "Ask your contact at the vendor why.", "Another reason")

PAYOUTS = {
    "no-bank-details": Words(
        "It is earned and kept for you, but we have no bank details.", "Send them to your contact at the vendor."
    ),
    "bank-details-new": Words(
        "Your bank details were changed only just. For your safety we wait a few bank days before we pay to them.",
        "Nothing to do here. If you did not change them, tell your contact at the vendor at once.",
    ),
    "bank-details-invalid": Words(
        "It is earned and kept for you, but your bank did not accept our transfer.",
        "Send other bank details to your contact at the vendor.",
    ),
    "partner-blocked": Words(
        "Payments to you are stopped at the moment. What you earn is kept for you.",
        "Ask your contact at the vendor.",
    ),
    "unusual-units": Words(
        "You sold far more than in your earlier quarters. Somebody looks at it before we pay.",
        "Nothing to do here: you will hear from us.",
    ),
    "last-days-reach-tier": Words(
        "The last two days of the quarter lifted you to this step. Somebody looks at it before we pay.",
        "Nothing to do here: you will hear from us.",
    ),
    "set-off": Words("What you earned and what was taken back are equal.", "Nothing to do here."),
}
HELD = Words("We are checking this amount before we pay it.", "Nothing to do here: you will hear from us.")


def of_sale(code: str) -> Words:
    """The words for a sale's or a return's code; for one that this version does not know, that it does not count."""
    return SALES.get(code, UNKNOWN)


def of_payout(status: str, code: str | None) -> Words | None:
    """The words for the reason of a payout's status, if there is one. What the vendor checks is not for the partner."""
    return PAYOUTS.get(code or "", HELD if status == PayoutStatus.HELD else None)
