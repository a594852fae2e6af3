"""How the pages look like the vendor's own: his logo, his colour, his imprint and privacy notice."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings

_LOGO_BYTES_MAX = 200_000
_TEXT_BYTES_MAX = 500_000
_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"<svg": "image/svg+xml", b"<?xml": "image/svg+xml"}
_CARD_LIGHT, _CARD_DARK = (255, 255, 255), (23, 31, 28)
_WHITE = (255, 255, 255)
_READABLE = 4.5
"""The contrast that text needs against what is behind it (WCAG 2.2, 1.4.3)."""
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Logo:
    """The picture in the head of each page."""

    content: bytes
    media_type: str

    @property
    def url(self) -> str:
        """Its address; another one for another picture, so that browsers may keep it."""
        return f"/brand/logo?v={_digest(self.content)}"


@dataclass(frozen=True, slots=True)
class Brand:
    """What the vendor has said about his pages. What he has not said is as it ships."""

    vendor: str
    logo: Logo | None = None
    colours: str = ""
    """A style sheet that puts his colour in place of ours."""
    imprint: str = ""
    """HTML, made of the text that he wrote."""
    privacy: str = ""

    @property
    def colours_url(self) -> str:
        """The address of the style sheet, empty if there is none."""
        return f"/brand/colours.css?v={_digest(self.colours.encode())}" if self.colours else ""


def read_brand(settings: Settings) -> Brand:
    """Read what the settings name. Raises UsageError for a file that can't be used, or a colour nobody could read."""
    return Brand(
        vendor=settings.vendor_name,
        logo=_logo(Path(settings.vendor_logo)) if settings.vendor_logo else None,
        colours=colours(settings.vendor_colour) if settings.vendor_colour else "",
        imprint=_text(settings.imprint, "imprint"),
        privacy=_text(settings.privacy, "privacy notice"),
    )


def colours(said: str) -> str:
    """A style sheet for a colour like ``#0b6b5d``: as it is on white, lightened until it reads on a dark page.

    Raises UsageError if it is none, or too light to read on white.
    """
    match = re.fullmatch(r"#([0-9a-fA-F]{6})", said)
    if match is None:
        raise UsageError(f"vendor_colour can't be {said!r}", "write it like #0b6b5d")
    colour: Colour = tuple(bytes.fromhex(match[1]))  # type: ignore[assignment]
    if contrast(colour, _CARD_LIGHT) < _READABLE:
        raise UsageError(
            f"vendor_colour {said} is too light to read on white",
            f"choose a darker one: its contrast is {contrast(colour, _CARD_LIGHT):.1f}, text needs {_READABLE}",
        )
    return f":root {{ {_rules(colour, _CARD_LIGHT)} }}\n" + (
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_rules(_on_dark(colour), _CARD_DARK)} }} }}\n"
    )


def contrast(one: Colour, other: Colour) -> float:
    """How much two colours differ in brightness, from 1 to 21 (WCAG 2.2)."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _on_dark(colour: Colour) -> Colour:
    """The colour, with as much white as it takes."""
    tenths = (_mixed(colour, _WHITE, tenth / 10) for tenth in range(11))
    return next(shade for shade in tenths if contrast(shade, _CARD_DARK) >= 7)


def _rules(colour: Colour, card: Colour) -> str:
    shades = {
        "green": colour,
        "green-soft": _mixed(card, colour, 0.14),
        "t1": _mixed(card, colour, 0.4),
        "t2": _mixed(card, colour, 0.7),
        "t3": colour,
        "t4": _mixed(colour, (0, 0, 0) if card == _CARD_LIGHT else _WHITE, 0.35),
        "t5": _mixed(colour, (0, 0, 0) if card == _CARD_LIGHT else _WHITE, 0.6),
    }
    return " ".join(f"--{name}: #{bytes(shade).hex()};" for name, shade in shades.items())


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _luminance(colour: Colour) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _logo(path: Path) -> Logo:
    content = _read(path, _LOGO_BYTES_MAX, "logo")
    for begin, media_type in _KINDS.items():
        if content.startswith(begin):
            return Logo(content, media_type)
    raise UsageError(f"the logo {path} is neither PNG nor SVG", "save it as one of them")


def _text(name: str, what: str) -> str:
    if not name:
        return ""
    try:
        text = _read(Path(name), _TEXT_BYTES_MAX, what).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"the {what} {name} is not written in UTF-8", "save it as UTF-8") from None
    return str(MarkdownIt("commonmark", {"html": False}).render(text))


def _read(path: Path, limit: int, what: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the {what} {path} can't be read: {error.strerror}", "name a file that exists") from None
    if len(content) > limit:
        raise UsageError(f"the {what} {path} has {len(content):,} bytes", f"make it {limit:,} at most")
    return content


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=6).hexdigest()
