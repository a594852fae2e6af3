"""The demo in the terminal: a live picture, or without a terminal a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.demo.quarter import CURTAIN, ENDED, FINAL, OPENS, QUARTER
from deploy.demo.watch import Figures, Money
from schemas.events import LineStatus, TierChanged

_SECONDS_BETWEEN_LINES = 5.0
_TIERS = {0: "0–9", 10: "10–24", 25: "25–49", 50: "50 and more"}


class Scene(NamedTuple):
    """Everything on the screen at a moment."""

    now: datetime
    act: str
    sent: int
    records: int
    figures: Figures


class Screen:
    """Shows scenes. Use it in a ``with`` block."""

    def __init__(self, names: Mapping[str, str], console: Console | None = None) -> None:
        """``names`` gives a partner's name by his id."""
        self._names = names
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._moving = self._console.is_terminal and not self._console.is_dumb_terminal
        self._said_at = 0.0

    def __enter__(self) -> Callable[[Scene], None]:
        if self._moving:
            self._live.start()
        return self.show

    def __exit__(self, *_: object) -> None:
        if self._moving:
            self._live.stop()

    def show(self, scene: Scene) -> None:
        """Show a scene: at once on a terminal, else if the last line is some seconds old."""
        if self._moving:
            self._live.update(self.picture(scene), refresh=True)
        elif time.monotonic() - self._said_at >= _SECONDS_BETWEEN_LINES:
            self._said_at = time.monotonic()
            print(line(scene), flush=True)

    def picture(self, scene: Scene) -> RenderableType:
        """A scene as a panel of at most a hundred columns."""
        return Panel(
            Group(
                _clock(scene),
                Text(),
                _columns(scene),
                Text(),
                _tiers(scene.figures),
                Text(),
                self._changes(scene.figures.latest_changes),
            ),
            title="Staffel demo",
            subtitle=scene.act,
            width=min(100, self._console.width),
        )

    def _changes(self, changes: tuple[TierChanged, ...]) -> RenderableType:
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for _ in range(3):
            table.add_column(justify="right", no_wrap=True)
        table.add_row(Text("Latest tier changes", style="bold"), "", "", "")
        for change in reversed(changes):
            gain = change.rebate_after_minor - change.rebate_before_minor
            up = change.to_tier > change.from_tier
            table.add_row(
                self._names.get(change.partner_id, change.partner_id),
                Text(f"{'▲' if up else '▼'} {change.from_tier} → {change.to_tier}", style="green" if up else "red"),
                f"{change.units} units",
                f"{gain / 100:+,.0f} EUR",
            )
        return table


def line(scene: Scene) -> str:
    """A scene in one line."""
    figures = scene.figures
    verdicts = ", ".join(f"{figures.verdicts[status]} {status}" for status in _shown_verdicts())
    return (
        f"{scene.now:%Y-%m-%d}  {scene.sent} of {scene.records} sent: {verdicts}, {figures.dead_letters} dead letters; "
        f"{figures.tier_changes} tier changes, {figures.mails} mails, {sum(figures.closes.values())} closes; "
        f"{euros(figures.earned_minor)} earned, {euros(figures.money[Money.IN_PAYMENT])} in payment, "
        f"{euros(figures.money[Money.PAID])} paid"
    )


def euros(minor: int) -> str:
    """Cents as euros, for people."""
    return f"{minor / 100:,.2f} EUR"


def _clock(scene: Scene) -> RenderableType:
    if scene.now < ENDED:
        phase = f"{QUARTER} is open"
    elif scene.now < FINAL:
        phase = f"{QUARTER} has ended; late reports still count"
    else:
        phase = f"{QUARTER} is final; what comes now is an adjustment"
    bar = ProgressBar(total=(CURTAIN - OPENS).total_seconds(), completed=max(0.0, (scene.now - OPENS).total_seconds()))
    return Group(Text.assemble((f"{scene.now:%a %d %b %Y}", "bold cyan"), "   ", phase), bar, Text())


def _columns(scene: Scene) -> RenderableType:
    figures = scene.figures
    sales = [("reports", scene.sent), *((str(s), figures.verdicts[s]) for s in _shown_verdicts())]
    told = [
        ("mails", figures.mails),
        ("tier changes", figures.tier_changes),
        ("weekly summaries", figures.summaries),
        *((f"{kind} closes", figures.closes[kind]) for kind in ("provisional", "final", "adjustment")),
    ]
    money = [("earned", _whole(figures.earned_minor)), ("made payable", _whole(figures.payable_minor))]
    money += [(str(place), _whole(figures.money[place])) for place in Money if figures.money[place]]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(
        _list("Sales", [*sales, ("dead letters", figures.dead_letters)]),
        _list("What partners are told", told),
        _list("Money, EUR", money),
    )
    return table


def _tiers(figures: Figures) -> RenderableType:
    parts = [f"{label}: {figures.tiers[tier]}" for tier, label in _TIERS.items()]
    return Text.assemble(("Partners by units  ", "bold"), "   ".join(parts))


def _list(title: str, rows: list[tuple[str, int]] | list[tuple[str, str]]) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, min_width=5)
    for label, value in rows:
        table.add_row(label, value if isinstance(value, str) else f"{value:,}")
    return Group(Text(title, style="bold"), table)


def _whole(minor: int) -> str:
    return f"{minor / 100:,.0f}"


def _shown_verdicts() -> tuple[LineStatus, ...]:
    return LineStatus.COUNTED, LineStatus.PENDING, LineStatus.REJECTED, LineStatus.RETURNED
