"""What every mail is made of, and how it becomes text and HTML.

Both parts are drawn from the same ``Letter``, so that no number can be in one and not in the other.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from services.notification.voice import Voice
from streams.rules.terms import Terms


class Step(NamedTuple):
    """One tier on the way up."""

    threshold: str
    rate: str
    filled: int
    """How much of the way from the tier below is done, in percent."""
    note: str
    """``reached``, or what is missing."""


class Fact(NamedTuple):
    """A line of the table."""

    label: str
    value: str


class Letter(NamedTuple):
    """What a mail says, in the partner's language, before it has a form."""

    subject: str
    title: str
    paragraphs: tuple[str, ...]
    figure: str = ""
    """The one number or date that he should see first, if there is one."""
    caption: str = ""
    """What that is."""
    button: str = ""
    """What his personal link is called. Without a name the letter has no link."""
    steps: tuple[Step, ...] = ()
    facts: tuple[Fact, ...] = ()
    good: bool = False
    """Whether it is news to be glad about."""


class Frame(NamedTuple):
    """What surrounds every letter to a partner."""

    language: str
    programme: str
    greeting: str
    link: str
    link_note: str
    colon: str
    """What stands between a label and its value: not every language writes ``:`` right behind the word."""
    footer: tuple[str, ...]
    leave_note: str
    leave_label: str
    leave: str = ""
    """Where mails like this one are turned off; empty if they can't be."""


def ladder(voice: Voice, terms: Terms, units: int) -> tuple[Step, ...]:
    """The tiers that earn something, and how far up this many units reach."""
    steps = []
    below = 0
    for tier in terms.tiers:
        if not tier.rate_minor:
            below = tier.units
            continue
        missing = tier.units - units
        steps.append(
            Step(
                threshold=voice.say("from {units}", units=voice.units(tier.units)),
                rate=voice.say("{rate} per unit", rate=voice.money(tier.rate_minor, terms.currency)),
                filled=100 if missing <= 0 else max(0, (units - below) * 100 // (tier.units - below)),
                note=voice.say("reached")
                if missing <= 0
                else voice.count("{number} missing", "{number} missing", missing),
            )
        )
        below = tier.units
    return tuple(steps)


def as_text(letter: Letter, frame: Frame) -> str:
    """The text part."""
    return _TEXT.render(letter=letter, frame=frame)


def as_html(letter: Letter, frame: Frame) -> str:
    """The HTML part: one table, styles inline, nothing fetched from anywhere."""
    return re.sub(r"\n\s*", "\n", _HTML.render(letter=letter, frame=frame))


def _unbroken(markup: str) -> str:
    """Escaped text whose words keep together: browsers would end a line within ``E-Mail``, and may within a host."""
    # A plain string, since what is joined to one that counts as markup already is escaped once more.
    return _HYPHENATED.sub(r'<span style="white-space:nowrap;">\g<0></span>', str(markup))


def _template(name: str, *, autoescape: bool) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=autoescape,  # noqa: S701 - plain text has nothing to escape
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = _unbroken
    return environment.get_template(name)


_HYPHENATED = re.compile(r"(?<![\w.-])\w{1,20}-\w{1,20}(?![\w-]|\.\w)")
_TEXT = _template("mail.txt", autoescape=False)
_HTML = _template("mail.html", autoescape=True)
