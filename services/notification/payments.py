"""Letters about the money of a close: whether it can be paid, that it is under way, and that it came back."""

from __future__ import annotations

from schemas.events import PayoutStatusChanged
from services.notification.letter import Fact, Letter
from services.notification.voice import Voice
from streams.rules.terms import Programme

DETAILS_INVALID = "bank-details-invalid"
"""Why money waits after a bank has sent it back: a code of the payout service, as the next two."""
DETAILS_NEW, NO_SEPA_ACCOUNT, BLOCKED = "bank-details-new", "no-sepa-account", "partner-blocked"
HOLDS_TOLD = frozenset({DETAILS_NEW, NO_SEPA_ACCOUNT, BLOCKED})
"""Holds that a partner can do something about, or will ask about. Of the others the vendor finds out himself."""


def bank_details_missing(event: PayoutStatusChanged, voice: Voice, programme: Programme) -> Letter:
    """Earned, not yet payable: nobody knows where to."""
    amount, quarter = voice.money(event.amount_minor, event.currency), voice.quarter(event.quarter)
    way = (
        voice.say(
            "The bank details that we have are not valid any more: a bank sent a payment back. Your page says how to "
            "give others safely; as soon as they are there, the amount goes out with the next payment run. It is not "
            "lost meanwhile."
        )
        if event.reason == DETAILS_INVALID
        else voice.say(
            "We have no bank details of yours. Your page says how to give them safely; as soon as they are there, "
            "the amount goes out with the next payment run. It is not lost meanwhile."
        )
    )
    return Letter(
        subject=voice.say("Your rebate of {amount} waits for your bank details", amount=amount),
        title=voice.say("Where may we send your rebate?"),
        figure=amount,
        caption=voice.say("earned for {quarter}, not yet payable", quarter=quarter),
        paragraphs=(way, never_by_mail(voice)),
        button=voice.say("Open your page"),
    )


def held(event: PayoutStatusChanged, voice: Voice, programme: Programme) -> Letter:
    """Not paid for the time being, for a reason that concerns him."""
    amount, quarter = voice.money(event.amount_minor, event.currency), voice.quarter(event.quarter)
    return Letter(
        subject=voice.say("Your rebate of {amount} is not paid yet", amount=amount),
        title=voice.say("Your rebate is on hold"),
        figure=amount,
        caption=voice.say("earned for {quarter}, not yet payable", quarter=quarter),
        paragraphs=_held_because(event.reason, voice),
        button=voice.say("Open your page"),
    )


def in_payment(event: PayoutStatusChanged, voice: Voice, programme: Programme) -> Letter:
    """The transfer is in a payment file."""
    amount, quarter = voice.money(event.amount_minor, event.currency), voice.quarter(event.quarter)
    return Letter(
        subject=voice.say("{amount} for {quarter} is on its way to you", amount=amount, quarter=quarter),
        title=voice.say("Your rebate is on its way"),
        figure=amount,
        caption=voice.say("rebate for {quarter}", quarter=quarter),
        paragraphs=(
            voice.say("We have ordered the transfer to your bank account. You need not do anything."),
            _one_transfer(voice),
        ),
        button=voice.say("See your payments"),
        facts=_transfer_facts(event, voice),
        good=True,
    )


def paid(event: PayoutStatusChanged, voice: Voice, programme: Programme) -> Letter:
    """The vendor's account was debited."""
    amount, quarter = voice.money(event.amount_minor, event.currency), voice.quarter(event.quarter)
    return Letter(
        subject=voice.say("{amount} for {quarter} has been paid", amount=amount, quarter=quarter),
        title=voice.say("Your rebate has been paid"),
        figure=amount,
        caption=voice.say("rebate for {quarter}", quarter=quarter),
        paragraphs=(
            voice.say(
                "Our bank has carried out the transfer. If you do not find it on your account within two bank days, "
                "answer this mail."
            ),
            _one_transfer(voice),
        ),
        button=voice.say("See your payments"),
        facts=_transfer_facts(event, voice),
        good=True,
    )


def set_off(event: PayoutStatusChanged, voice: Voice, programme: Programme) -> Letter:
    """What was taken back after a correction is set off: against a transfer, or against all that was due."""
    amount, quarter = voice.money(abs(event.amount_minor), event.currency), voice.quarter(event.quarter)
    against_a_transfer = event.end_to_end_id is not None
    return Letter(
        subject=voice.say("{quarter}: {amount} set off", quarter=quarter, amount=amount),
        title=voice.say("An amount was set off"),
        figure=amount,
        caption=voice.say("from the correction of {quarter}", quarter=quarter)
        if against_a_transfer
        else voice.say("rebate for {quarter}", quarter=quarter),
        paragraphs=(
            voice.say(
                "A correction of {quarter} had left {amount} too much with you. The transfer named below is smaller "
                "by this amount; with that it is settled.",
                quarter=quarter,
                amount=amount,
            )
            if against_a_transfer
            else voice.say(
                "What you had earned and what a correction took back are equal. Nothing is transferred, and nothing "
                "is owed on either side."
            ),
        ),
        button=voice.say("See your payments"),
        facts=_transfer_facts(event, voice),
    )


def returned(event: PayoutStatusChanged, voice: Voice, programme: Programme) -> Letter:
    """The bank sent the money back, or never took it."""
    amount, quarter = voice.money(event.amount_minor, event.currency), voice.quarter(event.quarter)
    code = event.reason or ""
    why = _bank_says(code, voice)
    if code in _OUR_SIDE:
        way: tuple[str, ...] = (
            voice.say(
                "The transfer to your bank account could not be carried out. The amount stays yours, and the cause "
                "lies with us: we see to it and pay again. You need not do anything."
            ),
        )
    else:
        way = (
            voice.say(
                "The transfer to your bank account came back. The amount stays yours: please check your bank details; "
                "your page says how to correct them safely. Then we pay again."
            ),
            never_by_mail(voice),
        )
    return Letter(
        subject=voice.say("The transfer of {amount} came back", amount=amount),
        title=voice.say("The bank returned your rebate"),
        figure=amount,
        caption=voice.say("rebate for {quarter}, not lost", quarter=quarter),
        paragraphs=way,
        button=voice.say("Open your page"),
        facts=(Fact(voice.say("Reason given by the bank"), why),) if why else (),
    )


def never_by_mail(voice: Voice) -> str:
    """What keeps a partner from answering to somebody who only pretends to be us."""
    return voice.say("For your safety: never send bank details by mail. We will never ask you to.")


def _held_because(reason: str | None, voice: Voice) -> tuple[str, ...]:
    if reason == DETAILS_NEW:
        return (
            voice.say(
                "Your bank details are new. For your protection we pay to new details only after a few bank days; "
                "then the amount goes out by itself. You need not do anything."
            ),
            voice.say("Are they not from you? Then answer this mail at once."),
        )
    if reason == NO_SEPA_ACCOUNT:
        return (
            voice.say(
                "Your account can't be reached by a SEPA transfer. Please give us another one: your page says how to "
                "do it safely. The amount is not lost meanwhile."
            ),
            never_by_mail(voice),
        )
    return (
        voice.say("We can't pay the amount out at present. It is not lost: please answer this mail, or contact us."),
    )


def _one_transfer(voice: Voice) -> str:
    return voice.say("Amounts that fall due together arrive as one transfer, less what is set off against them.")


def _transfer_facts(event: PayoutStatusChanged, voice: Voice) -> tuple[Fact, ...]:
    facts = [
        Fact(voice.say("Rebate for"), voice.quarter(event.quarter)),
        Fact(voice.say("Amount"), voice.money(event.amount_minor, event.currency)),
    ]
    if event.execution_date is not None:
        facts.append(Fact(voice.say("Transferred on"), voice.date(event.execution_date)))
    if event.end_to_end_id:
        facts.append(Fact(voice.say("Reference on your account statement"), event.end_to_end_id))
    return tuple(facts)


_OUR_SIDE = frozenset({"AM04", "AM05", "DUPL", "FF01", "RC10", "TM01"})
"""Codes of the ISO 20022 list whose cause is the payment file or the vendor's own account."""


def _bank_says(code: str, voice: Voice) -> str:
    """A code of ISO 20022's external list in plain words, the code behind it; nothing if no code was given."""
    match code:
        case "":
            return ""
        case "AC01" | "AC02" | "AC03":
            words = voice.say("The account number (IBAN) is wrong")
        case "AC04":
            words = voice.say("The account is closed")
        case "AC06":
            words = voice.say("The account is blocked")
        case "AC13" | "AG01" | "AG02":
            words = voice.say("Such transfers are not allowed to this account")
        case "AM04":
            words = voice.say("Our account was not covered")
        case "AM05" | "DUPL":
            words = voice.say("The bank took the transfer for a duplicate")
        case "BE01" | "BE05" | "BE06":
            words = voice.say("Name and account do not belong together")
        case "BE04":
            words = voice.say("The account holder's address is missing or incomplete")
        case "FF01" | "RC10" | "TM01":
            words = voice.say("The bank could not process our order")
        case "MS02":
            words = voice.say("The account holder refused the transfer")
        case "RC01" | "RC04":
            words = voice.say("The bank code (BIC) does not fit the account")
        case "RR01" | "RR02" | "RR03" | "RR04":
            words = voice.say("The bank needs more details by law")
        case "MS03":
            words = voice.say("The bank gave no reason")
        case _:
            words = voice.say("Another reason")
    return f"{words} ({code})"
