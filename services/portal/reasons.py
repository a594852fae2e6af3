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
        "It is earned and kept for you, but we have no bank details.", "Give them on the page of your details."
    ),
    "bank-details-new": Words(
        "Your bank details were changed only just. For your safety we wait a few bank days before we pay to them.",
        "Nothing to do here. If you did not change them, tell your contact at the vendor at once.",
    ),
    "bank-details-invalid": Words(
        "It is earned and kept for you, but your bank did not accept our transfer.",
        "Give other bank details on the page of your details.",
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
_ACCOUNT = "Send another account to your contact at the vendor; it is paid to that one then."
_NAME = "Send the account holder's name exactly as your bank has it."
_VENDOR = "Nothing to do here: we mend it and pay again."
BANK = {
    "AC01": Words("The bank does not know the account number.", _ACCOUNT),
    "AC02": Words("The vendor's own account was refused.", _VENDOR),
    "AC03": Words("The bank does not know the account number.", _ACCOUNT),
    "AC04": Words("The account has been closed.", _ACCOUNT),
    "AC06": Words(
        "The account is blocked.", "Ask your bank why, or send another account to your contact at the vendor."
    ),
    "AC13": Words("The account can't take such a transfer.", _ACCOUNT),
    "AC14": Words("The account can't take such a transfer.", _ACCOUNT),
    "AG01": Words("The account can't take such a transfer.", _ACCOUNT),
    "AG02": Words("The bank could not process the transfer.", _VENDOR),
    "AM02": Words("The amount is above what the bank allows.", _VENDOR),
    "AM04": Words("The vendor's account had not enough money on it.", _VENDOR),
    "AM05": Words("The bank took the transfer for a repetition.", _VENDOR),
    "AM09": Words("The bank found the amount wrong.", _VENDOR),
    "BE01": Words("The account holder's name does not fit the account.", _NAME),
    "BE04": Words("The account holder's address is missing.", "Send it to your contact at the vendor."),
    "BE05": Words("The bank did not recognise the vendor.", _VENDOR),
    "CNOR": Words("Your bank can't be reached by such a transfer.", _ACCOUNT),
    "CUST": Words(
        "Your bank sent the money back as you wished.", "If that was not meant, tell your contact at the vendor."
    ),
    "DNOR": Words("The vendor's bank can't send such a transfer.", _VENDOR),
    "DT01": Words("The bank found the date wrong.", _VENDOR),
    "DUPL": Words("The bank took the transfer for a repetition.", _VENDOR),
    "ED05": Words("The transfer failed between the banks.", _VENDOR),
    "FF01": Words("The bank could not read the payment file.", _VENDOR),
    "FOCR": Words("The vendor asked for the transfer back.", "You will hear from us."),
    "MD07": Words(
        "The bank was told that the account holder has died.", "Tell your contact at the vendor who is to be paid."
    ),
    "MS02": Words("Your bank sent the money back and does not say why.", "Ask your bank why, or send another account."),
    "MS03": Words("Your bank sent the money back and does not say why.", "Ask your bank why, or send another account."),
    "RC01": Words("The bank that the account is with was not found.", _ACCOUNT),
    "RR01": Words("The bank wants to know more about the vendor's account.", _VENDOR),
    "RR02": Words("The bank wants to know more about the vendor.", _VENDOR),
    "RR03": Words(
        "The bank wants to know more about the account holder.", "Send your name and address as your bank has them."
    ),
    "RR04": Words(
        "The bank sent the money back because of a regulation.",
        "Ask your bank why; your contact at the vendor can help.",
    ),
    "TM01": Words("The file came to the bank too late.", _VENDOR),
}
"""What banks give as reason for not paying, or for sending money back, by ISO's codes."""
RETURNED = Words("The bank sent the money back.", "Ask your contact at the vendor why.")
HELD = Words("We are checking this amount before we pay it.", "Nothing to do here: you will hear from us.")


def of_sale(code: str) -> Words:
    """The words for a sale's or a return's code; for one that this version does not know, that it does not count."""
    return SALES.get(code, UNKNOWN)


def of_payout(status: str, code: str | None) -> Words | None:
    """The words for the reason of a payout's status, if there is one. What the vendor checks is not for the partner."""
    if status == PayoutStatus.RETURNED:
        return BANK.get(code or "", RETURNED)
    return PAYOUTS.get(code or "", HELD if status == PayoutStatus.HELD else None)
