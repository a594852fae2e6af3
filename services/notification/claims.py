"""Letters about sales that a partner missed and reported himself: what became of them, and what is asked."""

from __future__ import annotations

from schemas.events import ClaimDecided
from services.notification.letter import Fact, Letter
from services.notification.voice import Voice
from streams.rules.terms import Programme


def accepted(event: ClaimDecided, voice: Voice, programme: Programme) -> Letter:
    """The sale is among the reports now."""
    return Letter(
        subject=voice.say("Your missing sale {sale} is accepted", sale=event.sale_id),
        title=voice.say("Your missing sale is accepted"),
        figure=voice.units(event.quantity),
        caption=voice.say("were added to your sales"),
        paragraphs=(
            voice.say("You reported a sale that we had missed. We have checked it and added it to your sales."),
            voice.say("Whether it counts is decided as for every other sale: your page shows the verdict."),
        ),
        button=voice.say("See the sale"),
        facts=_facts(event, voice, programme),
        good=True,
    )


def refused(event: ClaimDecided, voice: Voice, programme: Programme) -> Letter:
    """The sale is not counted, and why."""
    return Letter(
        subject=voice.say("Your missing sale {sale} is not accepted", sale=event.sale_id),
        title=voice.say("Your missing sale is not accepted"),
        paragraphs=(
            voice.say("You reported a sale that we had missed. We have checked it and can't add it to your sales."),
            _refusal(event.reason, voice),
            voice.say("Your page says more. With another proof you can report the sale again."),
        ),
        button=voice.say("See the decision"),
        facts=_facts(event, voice, programme),
    )


def asked(event: ClaimDecided, voice: Voice, programme: Programme) -> Letter:
    """The vendor wants to know more."""
    return Letter(
        subject=voice.say("A question about your missing sale {sale}", sale=event.sale_id),
        title=voice.say("A question about your missing sale"),
        paragraphs=(
            voice.say("You reported a sale that we had missed. Before we can decide, we need an answer from you."),
            _question(event.reason, voice),
        ),
        button=voice.say("Answer the question"),
        facts=_facts(event, voice, programme),
    )


def _facts(event: ClaimDecided, voice: Voice, programme: Programme) -> tuple[Fact, ...]:
    product = programme.product(event.product_id)
    return (
        Fact(voice.say("Number of the sale"), event.sale_id),
        Fact(voice.say("Product"), product.name if product else event.product_id),
        Fact(voice.say("Units"), voice.number(event.quantity)),
        Fact(voice.say("Sold on"), voice.date(event.sold_on)),
    )


def _refusal(code: str | None, voice: Voice) -> str:
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
    return voice.say("Your page says why.")


def _question(code: str | None, voice: Voice) -> str:
    match code:
        case "proof-missing":
            return voice.say("Please send a proof of the sale, like the distributor's invoice.")
        case "proof-unreadable":
            return voice.say("Please send the proof again, so that it can be read.")
        case "number-unclear":
            return voice.say("Please tell us the number on the distributor's invoice.")
        case "serials-missing":
            return voice.say("Please tell us the serial numbers.")
    return voice.say("The question is on your page.")
