"""Letters about sales that a partner missed and reported himself: what became of them, and what is asked."""

from __future__ import annotations

from schemas.events import ClaimDecided
from services.kit import claims
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
            claims.refusal(event.reason, voice) or voice.say("Your page says why."),
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
            claims.question(event.reason, voice) or voice.say("The question is on your page."),
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
