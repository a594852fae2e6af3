"""The demo's screen fits a small terminal and says what there is to say."""

from __future__ import annotations

import io
from collections import Counter
from datetime import datetime

import pytest
from rich.console import Console

from deploy.demo.acts import ACTS, Act
from deploy.demo.quarter import ENDED, FINAL, OPENS
from deploy.demo.screen import Scene, Screen, line
from deploy.demo.watch import Figures, Money
from schemas.events import LineStatus, Phase, TierChanged

CHANGE = TierChanged(
    "topseller", "P1", "2026Q4", 2, 50, 25, 49, 1000, 75_000, 49_000, "EUR", Phase.FINAL, 50, 1, 26_000, OPENS
)
FIGURES = Figures(
    verdicts=Counter({LineStatus.COUNTED: 12_823, LineStatus.PENDING: 133, LineStatus.REJECTED: 60}),
    tiers=Counter({0: 1100, 10: 1080, 25: 1060, 50: 1050}),
    earned_minor=124_871_230,
    tier_changes=320,
    latest_changes=(CHANGE,) * 4,
    summaries=13_900,
    closes=Counter(provisional=2800, final=2790, adjustment=12),
    payable_minor=124_870_000,
    money=Counter({place: -26_000 if place is Money.CLAWBACK else 124_870_000 for place in Money}),
    payments=80,
    payments_waiting=0,
    dead_letters=6,
    mails=53_000,
)


def picture(scene: Scene, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    screen = Screen({"P1": "Nordheide EDV-Beratung GmbH & Co. KG"}, console)
    console.print(screen.picture(scene))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("now", [OPENS, ENDED, FINAL])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: str(act.until.date()))
def test_it_fits_80_columns_and_24_lines_and_cuts_nothing(now: datetime, act: Act) -> None:
    shown = picture(Scene(now, act.title, 3000, 3900, FIGURES), 80)
    assert len(shown) <= 23
    assert max(map(len, shown)) <= 80
    assert "…" not in "".join(shown)


def test_it_says_who_changed_tier_and_what_that_costs_him() -> None:
    shown = "\n".join(picture(Scene(FINAL, "act", 3000, 3900, FIGURES), 80))
    assert "Nordheide EDV-Beratung GmbH & Co. KG" in shown
    assert "50 → 25" in shown
    assert "-260 EUR" in shown


def test_without_a_terminal_a_scene_is_one_line() -> None:
    said = line(Scene(FINAL, "act", 3000, 3900, FIGURES))
    assert "\n" not in said
    assert "12823 counted" in said
    assert "6 dead letters" in said
