"""Facts to HTML: the templates, and what they may call. A page and its live parts are made of the same pieces."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deploy.runtime.clock import Clock, RealClock
from services.portal import reasons
from services.portal.auth import Visitor
from services.portal.brand import Brand
from services.portal.claims import words
from services.portal.claims.words import status_name
from services.portal.live import Fragments
from services.portal.navigation import home, ways
from services.portal.programme_view import ProgrammePage
from services.portal.views import PartnerPage, anchor
from services.portal.voice import Voice, own_name

STATIC = Path(__file__).parent / "static"
_PARTNER = ("notes", "standing", "chart", "latest", "settlement")
_PROGRAMME = ("totals", "tiers", "weeks", "near", "countries", "products", "changes", "verdicts", "money", "conflicts")


class Pages:
    """Renders all pages."""

    def __init__(self, clock: Clock, brand: Brand) -> None:
        self._clock, self.brand = clock, brand
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "static": static_url,
            "anchor": anchor,
            "reasons": reasons,
            "claim_words": words,
            "clock": self._passing,
            "brand": brand,
            "own_name": own_name,
            "ways": ways,
            "home": home,
        }

    @property
    def look_every(self) -> float:
        """Seconds after which time alone has changed a page."""
        return 25.0 if self._clock.rate == 1.0 else 1.0

    def page(self, template: str, voice: Voice, visitor: Visitor, **facts: Any) -> str:
        """A whole page within the frame. ``facts`` are what the template and the frame speak of; see ``Asked.page``."""
        return self._environment.get_template(template).render(voice=voice, visitor=visitor, **facts)

    def door(self, template: str, voice: Voice, **facts: Any) -> str:
        """A page for somebody who is not signed in, or not yet."""
        return self._environment.get_template(template).render(voice=voice, **facts)

    def partner_parts(self, page: PartnerPage, voice: Voice) -> Fragments:
        """The live parts of it."""
        standing = page.standing
        rebate = voice.money(standing["rebate_minor"], standing["currency"])
        say = f"{voice.units(standing['units'])}, {rebate}"
        return self._parts("partner", _PARTNER, say, page=page, voice=voice)

    def programme_parts(self, page: ProgrammePage, voice: Voice) -> Fragments:
        """The live parts of it."""
        say = f"{voice.units(page.units)}, {voice.money(page.rebate_minor, page.terms.currency)}"
        return self._parts("programme", _PROGRAMME, say, page=page, voice=voice)

    def claim_parts(self, claim: Any, voice: Voice, **facts: Any) -> Fragments:
        """The live part of the page of one claim."""
        return self._parts("claims", ("state",), status_name(claim.status, voice), claim=claim, voice=voice, **facts)

    def message(self, name: str, voice: Voice, **facts: Any) -> str:
        """A page that says one thing: a door, or why there is nothing here."""
        return self._environment.get_template("message.html").render(name=name, voice=voice, **facts)

    def _parts(self, folder: str, names: tuple[str, ...], say: str, **facts: Any) -> Fragments:
        regions = {name: self._environment.get_template(f"{folder}/{name}.html").render(facts) for name in names}
        return Fragments(regions, say, {"clock": self._passing(facts["voice"])})

    def _passing(self, voice: Voice) -> str:
        """What changes on a page with time alone."""
        clock = None if isinstance(self._clock, RealClock) else self._clock
        return self._environment.get_template("clock.html").render(
            now=clock.now() if clock else None, rate=clock.rate if clock else 1.0, voice=voice
        )


@cache
def static_url(name: str) -> str:
    """The address of a file in ``static``; another one for other content, so that browsers may keep it."""
    digest = hashlib.blake2b((STATIC / name).read_bytes(), digest_size=6).hexdigest()
    return f"/static/{name}?v={digest}"
