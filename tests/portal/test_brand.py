"""The vendor's own logo, colour and texts on the pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import load
from services.portal.brand import colours, contrast, read_brand
from tests.portal.conftest import Site

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def branded(site: Site, **said: Any) -> Site:
    settings = load({"data": site.settings.data, "public_url": site.settings.public_url, **said}, {}).settings
    return Site(settings, site.programme, site.engine)


def file(folder: Path, name: str, content: bytes | str) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_a_logo_takes_the_place_of_ours_and_is_kept_by_the_browser(site: Site, tmp_path: Path) -> None:
    own = branded(site, vendor_logo=file(tmp_path, "logo.png", PNG), vendor_name="Muster & Söhne")
    page = own.signed_in("P1").get("/").text
    found = re.search(r'<img class="logo" src="(/brand/logo[^"]+)" alt="Muster &amp; Söhne">', page)
    assert found
    assert '<path d="M2 21v-5' not in page
    answer = own.browser().get(found[1])
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert "immutable" in answer.headers["cache-control"]
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert found[1] in own.browser().get(own.link("P1")).text


def test_a_colour_is_a_style_sheet_that_reads_on_light_and_dark(site: Site) -> None:
    own = branded(site, vendor_colour="#8a1538")
    found = re.search(r'href="(/brand/colours.css[^"]+)"', own.signed_in("P1").get("/").text)
    assert found
    sheet = own.browser().get(found[1])
    assert sheet.headers["content-type"].startswith("text/css")
    light, dark = (bytes.fromhex(text) for text in re.findall(r"--green: #(\w{6})", sheet.text))
    assert tuple(light) == (0x8A, 0x15, 0x38)
    assert contrast(tuple(dark), (23, 31, 28)) >= 7  # type: ignore[arg-type]


@pytest.mark.parametrize("said", ["red", "#fff", "#gggggg", "0b6b5d", "#0b6b5d; }"])
def test_what_is_no_colour_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match="vendor_colour can't be"):
        colours(said)


def test_a_colour_too_light_to_read_is_refused() -> None:
    with pytest.raises(UsageError, match="too light to read on white"):
        colours("#7fd1b5")


def test_imprint_and_privacy_are_pages_for_everybody_and_hold_no_markup_of_their_own(
    site: Site, tmp_path: Path
) -> None:
    text = "# Imprint\n\nMuster GmbH\n\n<script>alert(1)</script> [x](javascript:alert(1))"
    own = branded(site, imprint=file(tmp_path, "i.md", text), privacy=file(tmp_path, "p.md", "# Privacy\n\n- *one*"))
    imprint = own.browser().get("/imprint").text
    assert "<h1>Imprint</h1>" in imprint
    assert "<script>alert" not in imprint
    assert 'href="javascript' not in imprint
    assert "<em>one</em>" in own.browser().get("/privacy").text
    assert 'href="/imprint"' in own.signed_in("P1").get("/").text
    assert 'href="/privacy"' in own.browser().get("/nothing-there").text


@pytest.mark.parametrize("path", ["/brand/logo", "/brand/colours.css", "/imprint", "/privacy"])
def test_what_was_not_said_is_not_there(site: Site, path: str) -> None:
    answer = site.browser().get(path)
    assert answer.status_code == 404
    assert "immutable" not in answer.headers["cache-control"]


def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    for said, sentence in (
        ({"vendor_logo": str(tmp_path / "none.png")}, "can't be read"),
        ({"vendor_logo": file(tmp_path, "logo.gif", b"GIF89a")}, "neither PNG nor SVG"),
        ({"vendor_logo": file(tmp_path, "huge.png", PNG * 20_000)}, "bytes"),
        ({"imprint": file(tmp_path, "latin.md", "Straße".encode("latin-1"))}, "not written in UTF-8"),
    ):
        with pytest.raises(UsageError, match=sentence):
            read_brand(load(said, {}).settings)
