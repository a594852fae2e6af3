"""The mails in a real browser, as a mail program shows them: on a telephone, by day and by night, for everybody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, sync_playwright

from services.notification.samples import COUNTRIES, SAMPLES, write
from services.notification.webhooks.outage import EndpointDisabled
from tests.notification.facts import programme

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TELEPHONE: Any = {"width": 360, "height": 800}
BEYOND = """() => [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > 360 || e.scrollWidth > e.clientWidth + 1 && e.clientWidth)
    .map(e => e.outerHTML.slice(0, 80))"""
"""What is wider than the screen or than the box that it stands in."""

OF_PAGES = ("landmark-one-main", "region")
"""Rules for whole pages: a mail is an article within the page of a mail program."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def opened(browser: Browser, scheme: Literal["light", "dark"]) -> Page:
    return browser.new_context(color_scheme=scheme, viewport=TELEPHONE).new_page()


def test_no_mail_is_wider_than_a_telephone(browser: Browser) -> None:
    page = opened(browser, "light")
    for sample in SAMPLES:
        for language in COUNTRIES:
            page.set_content(write(sample, language, programme()).html)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, (sample.name, language)
            assert page.evaluate(BEYOND) == [], (sample.name, language)


def test_a_host_however_long_is_not_wider_than_a_telephone(browser: Browser) -> None:
    page = opened(browser, "light")
    (sample,) = (sample for sample in SAMPLES if sample.name == "webhook-disabled")
    for host in (".".join(["x" * 63] * 3), ".".join(["webhooks-of-our-systems"] * 9)):
        assert isinstance(sample.event, EndpointDisabled)
        named = sample._replace(event=replace(sample.event, host=host))
        page.set_content(write(named, "de", programme()).html)
        assert page.evaluate(BEYOND) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_mail_has_a_fault_that_axe_finds(browser: Browser, scheme: Literal["light", "dark"]) -> None:
    """Each mail in one language: words differ between languages, the markup does not."""
    page = opened(browser, scheme)
    faults = []
    for number, sample in enumerate(SAMPLES):
        language = list(COUNTRIES)[number % len(COUNTRIES)]
        page.set_content(write(sample, language, programme()).html)
        found = (
            Axe().run(page, options={"rules": {rule: {"enabled": False} for rule in OF_PAGES}}).response["violations"]
        )
        faults += [f"{sample.name} in {language}: {v['id']}: {v['nodes'][0]['html']}" for v in found]
    assert faults == []


def test_a_mail_is_dark_where_its_reader_likes_it_dark(browser: Browser) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page = opened(browser, scheme)  # type: ignore[arg-type]
        page.set_content(write(SAMPLES[0], "en", programme()).html)
        colours.append(page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor"))
    assert colours == ["rgb(255, 255, 255)", "rgb(24, 33, 31)"]
