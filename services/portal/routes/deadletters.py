"""Records that the stream could not use, for the vendor's staff: what they are, why, and sending them back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from deploy.runtime.errors import StaffelError
from schemas.codec import Codec
from schemas.topics import SALES
from services.kit import deadletters
from services.kit.deadletters import ALREADY, HOPELESS, REPLAYED, Letter
from services.kit.sender import open_codec
from services.portal.access import Asked, Needs, Row
from services.portal.audit import actor, note

_SHOWN_AT_MOST = 100
_BYTES_SHOWN = 256
_A_LINE = 16
_COUNTS = (REPLAYED, ALREADY, HOPELESS)


class Shown(NamedTuple):
    """A dead letter as the page shows it."""

    letter: Letter
    says: str
    """What can be read of it by now, as JSON; empty if nothing can."""
    dump: str
    """Its first bytes."""


async def show_letters(asked: Asked) -> Response:
    """The latest dead letters."""
    return await run_in_threadpool(_page, asked)


async def replay(asked: Asked) -> Response:
    """Send back those that can be read by now, each once."""
    portal = asked.portal

    def act() -> Response:
        try:
            letters = deadletters.replay(portal.settings, portal.clock).letters
        except StaffelError:
            return _page(asked)
        counts: dict[str, Any] = {name: letters[name] for name in _COUNTS}
        with portal.engine.begin() as connection:
            note(connection, actor(asked.visitor), "dead-letters-replayed", "", **counts)
        return RedirectResponse("/dead-letters?" + urlencode(counts), 303)

    return await run_in_threadpool(act)


def _page(asked: Asked) -> Response:
    settings = asked.portal.settings
    try:
        codec = open_codec(settings, [SALES])
        letters = [_shown(codec, letter) for letter in deadletters.latest(settings, _SHOWN_AT_MOST)]
    except StaffelError:
        letters = None
    counts = {name: asked.request.query_params.get(name, "") for name in _COUNTS}
    done = {name: int(text) for name, text in counts.items() if text.isascii() and text.isdigit() and len(text) < 10}
    html = asked.page(
        "deadletters.html", asked.voice(), letters=letters, done=done, at_most=_SHOWN_AT_MOST, at=_at(asked)
    )
    return HTMLResponse(html, 200 if letters is not None else 503)


def _shown(codec: Codec, letter: Letter) -> Shown:
    event = deadletters.read_again(codec, letter)
    says = json.dumps(msgspec.to_builtins(event), ensure_ascii=False, indent=1) if event is not None else ""
    return Shown(letter, says, _dump(letter.value or b""))


def _dump(data: bytes) -> str:
    """Bytes as programmers read them: place, sixteen bytes, the letters among them."""
    lines = []
    for at in range(0, min(len(data), _BYTES_SHOWN), _A_LINE):
        piece = data[at : min(at + _A_LINE, _BYTES_SHOWN)]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{at:04x}  {piece.hex(' '):<{3 * _A_LINE}} {letters}")
    return "\n".join(lines)


def _at(asked: Asked) -> Any:
    """When a letter was put aside, on the programme's clock."""
    return lambda letter: asked.portal.clock.at(datetime.fromtimestamp(letter.stamp / 1000, UTC))


ROWS = (
    Row("/dead-letters", show_letters, Needs.VIEWER, "dead-letters"),
    Row("/dead-letters/replay", replay, Needs.OPERATOR, "dead-letters", "POST"),
)
