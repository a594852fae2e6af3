"""Why a claim was refused, and what is asked about one: the same words on the pages and in the mails."""

from __future__ import annotations

from services.kit.speech import Speech


def refusal(code: str | None, voice: Speech) -> str | None:
    """Why a claim was refused; None for a reason that the code does not tell."""
    match code:
        case "already-reported":
            return voice.say("The sale is counted already, under another number.")
        case "other-partner-reported":
            return voice.say("The same product was reported as sold by somebody else.")
        case "proof-missing":
            return voice.say("There is no proof of the sale.")
        case "proof-does-not-match":
            return voice.say("The proof shows something else than was reported.")
        case "not-a-sale":
            return voice.say("What the proof shows is no sale that the programme counts.")
        case "product-not-in-programme":
            return voice.say("The product was not in the programme on that day.")
        case "too-late":
            return voice.say("The quarter of this sale can't be changed any more.")
    return None


def question(code: str | None, voice: Speech) -> str | None:
    """What the vendor asks about a claim; None for a question that the code does not tell."""
    match code:
        case "proof-missing":
            return voice.say("Please send a proof of the sale, like the distributor's invoice.")
        case "proof-unreadable":
            return voice.say("Please send the proof again, so that it can be read.")
        case "number-unclear":
            return voice.say("Please tell us the number on the distributor's invoice.")
        case "serials-missing":
            return voice.say("Please tell us the serial numbers.")
    return None
