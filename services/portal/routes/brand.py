"""What is the vendor's own about the pages: his logo and colours, and the two texts that the law asks for."""

from __future__ import annotations

from starlette.responses import HTMLResponse, Response

from services.portal.access import Asked, Needs, Row
from services.portal.views import NotHere


async def give_logo(asked: Asked) -> Response:
    """The vendor's logo."""
    logo = asked.portal.pages.brand.logo
    if logo is None:
        raise NotHere
    return Response(logo.content, media_type=logo.media_type)


async def give_colours(asked: Asked) -> Response:
    """The style sheet with his colour."""
    if not asked.portal.pages.brand.colours:
        raise NotHere
    return Response(asked.portal.pages.brand.colours, media_type="text/css")


async def show_imprint(asked: Asked) -> Response:
    """Who is behind the pages."""
    return _text(asked, asked.portal.pages.brand.imprint)


async def show_privacy(asked: Asked) -> Response:
    """What becomes of a visitor's data."""
    return _text(asked, asked.portal.pages.brand.privacy)


def _text(asked: Asked, html: str) -> Response:
    if not html:
        raise NotHere
    return HTMLResponse(asked.portal.pages.message("text", asked.voice(), html=html))


ROWS = (
    Row("/brand/logo", give_logo, Needs.NOTHING, "brand"),
    Row("/brand/colours.css", give_colours, Needs.NOTHING, "brand"),
    Row("/imprint", show_imprint, Needs.NOTHING, "brand"),
    Row("/privacy", show_privacy, Needs.NOTHING, "brand"),
)
