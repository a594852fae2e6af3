"""Opens XML from outside: no entities, no document type, nothing fetched, bounded in size, elements and depth. Pure.

Names are asked for without their namespace, so that each version of a message and a bank's own profile of it read
alike. What is unknown is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any

from babel.numbers import get_currency_precision
from lxml import etree

from services.payout.answers.messages import Refused

SIZE_MAX = 32_000_000
"""Bytes of a file: about 20 000 payments in one statement."""
_MARKS_MAX = 2_500_000
"""How often ``<`` or ``=`` may occur: elements and attributes take far more memory than bytes."""
_DEPTH_MAX = 40
_ENCODINGS = ("UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "US-ASCII", "ISO-8859-1", "ISO-8859-15", "WINDOWS-1252")
_TOO_DEEP = etree.XPath("boolean(" + "/*" * (_DEPTH_MAX + 1) + ")")
_AMOUNT = re.compile(r"\+?(\d{1,13})(?:\.(\d{0,5}))?", re.ASCII)
_CODE = re.compile("[A-Z0-9]{4}")
OTHER = "other"
"""Stands for a code that the bank did not give or that is none of ISO's form."""


def open_document(content: bytes) -> etree._Element:
    """The root of the document. Raises Refused, with a sentence that repeats nothing of the content."""
    if len(content) > SIZE_MAX:
        raise Refused(f"the file is larger than {SIZE_MAX // 1_000_000} MB")
    plain = content.replace(b"\0", b"") if b"\0" in content else content  # of UTF-16, the ASCII part
    if not plain.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<"):
        raise Refused("the file is not XML; if it is packed, unpack it")
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise Refused("the file defines a document type or entities; no bank's message does")
    if plain.count(b"<") > _MARKS_MAX or plain.count(b"=") > _MARKS_MAX:
        raise Refused("the file has more elements or attributes than any statement")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        line = f" (line {error.lineno})" if isinstance(error, etree.XMLSyntaxError) and error.lineno else ""
        raise Refused(f"the file is not well-formed XML: cut off, damaged, or wrongly encoded{line}") from None
    about: Any = root.getroottree().docinfo  # the stubs know only a part of it
    if about.doctype or about.internalDTD is not None:
        raise Refused("the file defines a document type or entities; no bank's message does")
    if (about.encoding or "UTF-8").upper() not in _ENCODINGS:
        raise Refused("the file is written in a character encoding that no bank uses")
    if _TOO_DEEP(root):
        raise Refused(f"the file nests deeper than {_DEPTH_MAX} elements")
    return root


def first(element: etree._Element, path: str) -> etree._Element | None:
    """The first element at a path of names, like ``Refs/EndToEndId``."""
    return element.find(_anywhere(path))


def each(element: etree._Element, path: str) -> Iterator[etree._Element]:
    """All elements at a path of names."""
    return element.iterfind(_anywhere(path))


def text(element: etree._Element | None, path: str = "") -> str:
    """The text at a path, without blanks around it and at most 70 long; empty if there is none."""
    found = element.find(_anywhere(path)) if element is not None and path else element
    return (found.text or "").strip()[:70] if found is not None else ""


def identifier(element: etree._Element | None, path: str) -> str:
    """An id of at most 35 characters; empty where the bank says that it has none."""
    found = text(element, path)[:35]
    return "" if found in ("NOTPROVIDED", "NONREF") else found


def code(element: etree._Element | None, path: str) -> str:
    """A code of four letters and digits; anything else is ``OTHER``."""
    found = text(element, path)
    return found if _CODE.fullmatch(found) else OTHER


def day(element: etree._Element | None, path: str) -> date | None:
    """The calendar date of a date or an instant, as the bank wrote it."""
    for name in (path, f"{path}/Dt", f"{path}/DtTm"):
        try:
            return date.fromisoformat(text(element, name)[:10])
        except ValueError:
            continue
    return None


def number(element: etree._Element | None, path: str) -> int | None:
    """A whole number of at most 18 digits."""
    found = text(element, path)
    return int(found) if found.isascii() and found.isdigit() and len(found) <= 18 else None


def money(element: etree._Element | None) -> tuple[int, str] | None:
    """Minor units and currency of an amount; None if it can't be read or is finer than its currency."""
    if element is None:
        return None
    currency = (element.get("Ccy") or "").strip()
    found = _AMOUNT.fullmatch(text(element))
    if not found or not re.fullmatch("[A-Z]{3}", currency):
        return None
    whole, part = found[1], (found[2] or "").rstrip("0")
    places = get_currency_precision(currency)
    if len(part) > places:
        return None
    return int(whole + part.ljust(places, "0")), currency


@cache
def _anywhere(path: str) -> str:
    return "/".join(f"{{*}}{name}" for name in path.split("/"))
