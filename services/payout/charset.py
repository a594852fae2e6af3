"""Text that every bank in SEPA takes: the basic Latin set, all else converted as EPC217-08 recommends. Pure."""

from __future__ import annotations

import re
import unicodedata

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ ")
# What a decomposition into letter and accent does not reach. Unlisted characters become a full stop.
_SIGNS = dict(zip("&;[]{}\\|_`´‘’‚“”„«»–—−~€", "+,()()//-''',.....-----E", strict=True))
_LATIN = {
    **dict(zip("ßøØłŁđĐħĦıŋŊ", "soOlLdDhHinN", strict=True)),
    "æ": "ae",
    "Æ": "AE",
    "œ": "oe",
    "Œ": "OE",
    "þ": "th",
    "Þ": "TH",
    "ð": "d",
    "Ð": "D",
}
_GREEK = "αa βv γg δd εe ζz ηi θth ιi κk λl μm νn ξx οo πp ρr σs ςs τt υy φf χch ψps ωo"
_CYRILLIC = "аa бb вv гg дd еe жzh зz иi йy кk лl мm нn оo пp рr сs тt уu фf хh цts чch шsh щsht ъa ьy юyu яya"
_TABLE = {**_SIGNS, **_LATIN, **{pair[0]: pair[1:] for pair in f"{_GREEK} {_CYRILLIC}".split()}}


def transliterate(text: str, length_max: int) -> str:
    """The text in SEPA's characters, at most so long; umlauts lose their dots, ß becomes s, & becomes +."""
    converted = "".join(_convert(character) for character in unicodedata.normalize("NFC", text))
    # Slashes at the ends or doubled are refused by some banks; they mean something in older formats.
    tidy = re.sub(r"/{2,}", "/", " ".join(converted.split())).strip("/ ")
    return tidy[:length_max].rstrip("/ ") or "."


def _convert(character: str) -> str:
    if character in _ALLOWED:
        return character
    if character.isspace():
        return " "
    if character in _TABLE:
        return _TABLE[character]
    if character.lower() in _TABLE:
        return _TABLE[character.lower()].upper()
    base = unicodedata.normalize("NFD", character)[0]
    if base == character:
        return "."
    return _convert(base)
