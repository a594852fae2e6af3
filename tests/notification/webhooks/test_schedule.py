"""What an answer means, and when a delivery is tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.notification.webhooks.schedule import JITTER, PAUSES, WAITS, Outcome, Verdict, judge, pause


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_two_hundreds_are_taken(status: int) -> None:
    assert judge(status, 3, 0.5) == Verdict(Outcome.DELIVERED)


@pytest.mark.parametrize("status", [None, 100, 300, 301, 302, 307, 308, 400, 401, 404, 409, 422, 429, 500, 502, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    for attempts, wait in enumerate(WAITS):
        assert judge(status, attempts, 0) == Verdict(Outcome.RETRIED, wait)
    assert judge(status, len(WAITS), 0) == Verdict(Outcome.FAILED)


def test_gone_is_gone_at_once() -> None:
    assert judge(410, 0, 0) == Verdict(Outcome.GONE)


def test_ten_attempts_spread_over_three_days_and_a_bit() -> None:
    assert len(WAITS) + 1 == 10
    assert timedelta(days=3) < sum(WAITS, timedelta()) < timedelta(days=4)


def test_chance_makes_a_wait_longer_and_never_shorter() -> None:
    for attempts, wait in enumerate(WAITS):
        assert wait <= judge(500, attempts, 0.3).wait < judge(500, attempts, 1).wait <= wait * (1 + JITTER)


def test_an_endpoint_may_ask_for_a_longer_wait_of_a_day_at_most() -> None:
    assert judge(429, 0, 0, timedelta(hours=1)).wait == timedelta(hours=1)
    assert judge(503, 2, 0, timedelta(seconds=1)).wait == WAITS[2]
    assert judge(503, 0, 0, timedelta(days=365)).wait == timedelta(days=1)


def test_an_endpoint_that_fails_on_is_left_alone_longer_and_longer() -> None:
    assert pause(0) == timedelta()
    assert tuple(map(pause, range(1, len(PAUSES) + 1))) == PAUSES
    assert pause(1000) == PAUSES[-1] < WAITS[2]
