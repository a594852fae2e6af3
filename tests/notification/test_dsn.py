"""Reports of undeliverable mail are read, whatever is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notification.dsn import BYTES_MAX, NotAReport, read_report
from tests.notification.reports import out_of_office, report


def test_a_report_says_what_came_back_why_and_to_whom() -> None:
    found = read_report(report(about="<event-1@staffel.example>", to='"Bounces" <bounces+7-ab@vendor.example>'))
    assert (found.status, found.permanent) == ("5.1.1", True)
    assert found.message_ids == ("event-1",)
    assert found.recipients == ("p1@partner.example",)
    assert found.returned_to == ("bounces+7-ab@vendor.example",)
    assert found.diagnostic == "550 5.1.1 <p1@partner.example>: no such user"


def test_the_whole_mail_may_be_returned_instead_of_its_headers() -> None:
    assert read_report(report(about="<event-1@staffel.example>", headers_only=False)).message_ids == ("event-1",)


@pytest.mark.parametrize(
    ("status", "action", "read", "permanent"),
    [
        ("4.2.2", "failed", "4.2.2", False),
        ("4.4.1", "delayed", "4.4.1", False),
        ("5.0.0", "delayed", "4.0.0", False),
        ("5.7.1 (blocked)", "failed", "5.7.1", True),
    ],
)
def test_what_is_only_delayed_is_not_for_good(status: str, action: str, read: str, permanent: bool) -> None:
    found = read_report(report(status=status, action=action))
    assert (found.status, found.permanent) == (read, permanent)


def test_the_same_report_is_recognised_and_another_one_is_not() -> None:
    assert read_report(report()).report_id == read_report(report(about="<x@y.example>")).report_id
    assert read_report(report()).report_id != read_report(report(own_id="<report-2@mx.example>")).report_id
    assert read_report(report(own_id="")).report_id == read_report(report(own_id="")).report_id


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff" * 100,
        out_of_office(),
        report(status="2.0.0", action="delivered"),
        report(status="none at all"),
        b"x" * (BYTES_MAX + 1),
        # Parts within parts without end: a parser that calls itself for each would break.
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(3000)),
        b"Content-Type: message/rfc822\r\n\r\n" * 3000,
    ],
    ids=["empty", "bytes", "out-of-office", "delivered", "no-status", "too-large", "nested", "nested-mails"],
)
def test_what_is_no_report_is_refused_and_breaks_nothing(raw: bytes) -> None:
    with pytest.raises(NotAReport):
        read_report(raw)


@given(st.binary(max_size=300), st.integers(0, 900))
def test_a_report_with_anything_in_it_is_read_or_refused(noise: bytes, place: int) -> None:
    raw = report(about="<event-1@staffel.example>")
    try:
        found = read_report(raw[:place] + noise + raw[place:])
    except NotAReport:
        return
    assert "\x00" not in found.diagnostic + found.status
    assert len(found.report_id) == 64
