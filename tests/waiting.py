"""Waiting for a fact instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = 30, what: str = "the condition") -> T:
    """Ask again and again until the answer is truthy, and return it. Fails the test when the time is over.

    An ``AssertionError`` of the condition counts as "not yet" and is shown if it stays.
    """
    deadline = time.monotonic() + seconds
    pause, last = 0.01, ""
    while True:
        answer: T | None = None
        try:
            answer = condition()
        except AssertionError as error:
            last = f": {error}"
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds} s{last}")
        time.sleep(pause)
        pause = min(0.2, pause * 1.5)
