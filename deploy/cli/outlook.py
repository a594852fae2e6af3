"""``accrual`` and ``simulate``: what a quarter will cost, and what it would have cost."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import Exit, StaffelError, UsageError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from datetime import date

    from schemas.values import Quarter
    from services.payout.accrual import Accrued
    from services.payout.what_if import Compared, Summary
    from streams.rules.terms import Programme

app = typer.Typer(rich_markup_mode=None)

CsvFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--csv", metavar="FILE", help="Write a line for each partner into this file.", dir_okay=False),
]
_TOLD = 20
"""How many partners the terminal shows."""


@app.command(
    "accrual",
    epilog=ending("./staffel accrual", "./staffel accrual --quarter 2026Q4 --csv accrual.csv", exits=(Exit.NOT_READY,)),
)
@takes_settings("data", "port_base", "programme", "clock")
def accrual(
    loaded: Loaded,
    quarter: Annotated[Optional[str], typer.Option("--quarter", help="Like 2026Q4 [default: the current one].")] = None,  # noqa: UP045
    csv: CsvFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what a quarter will probably cost, for the vendor's books. Partners are never shown it.

    The pace so far goes on: expected units = units so far ÷ days elapsed × days of the quarter, every calendar day a
    selling day. Low and high are one standard error of the daily pace below and above. ACCRUE is what the units so far
    cost at the rate that the expected units reach: what belongs into the books today. CLOSED is what final closes made
    payable, which the ledger holds already, PAID what of that was handed to the bank or set off. The sums of low and
    high are those of all partners being low or high at once: wider than likely.
    """
    from deploy.cli.programme import today
    from deploy.runtime.programme import read_programme
    from services.payout import accrual as report
    from services.payout.database import looking
    from services.payout.spreadsheet import write
    from streams.rules.accrual import days_of, elapsed_days
    from streams.rules.terms import parse

    programme = read_programme(loaded.settings, parse)
    day = today(programme, open_clock(loaded.settings))
    wanted = _quarter(quarter, day)
    elapsed, days = elapsed_days(wanted, day), days_of(wanted)
    if elapsed == 0:
        raise UsageError(f"{wanted} has not begun on {day}")
    with looking(loaded.settings) as connection:
        found = list(report.accrued(connection, programme, wanted, day))
    if not found:
        raise _nothing(wanted)
    if csv is not None:
        write(csv, _accrual_lines(found))
    currency = programme.terms_for(wanted).currency
    if as_json:
        head = {"quarter": str(wanted), "day": str(day), "days_elapsed": elapsed, "days": days, "currency": currency}
        partners = [{"partner_id": one.partner_id, **_figures([one])} for one in found]
        output.print_json({**head, "sum": _figures(found), "partners": partners})
        return
    print(output.paint(f"{wanted} on {day}, day {elapsed} of {days}; amounts in {currency}", "bold"))
    shown = sorted(found, key=lambda one: (-one.outlook.expected_minor, one.partner_id))[:_TOLD]
    rows = [_accrual_row(one.partner_id, _figures([one])) for one in shown]
    if len(found) > len(shown):
        rest = f"and {len(found) - len(shown):,} more"
        rows.append((rest, *[""] * (len(_ACCRUAL) - 1)))
    rows.append(_accrual_row(f"all {len(found):,}", _figures(found)))
    print(output.table(_ACCRUAL, rows, _ACCRUAL[1:]))


@app.command(
    "simulate",
    epilog=ending(
        "./staffel simulate --programme new.toml --quarter 2026Q4",
        "./staffel simulate --programme new.toml --quarter 2026Q4 --csv partners.csv",
        exits=(Exit.NOT_READY,),
    ),
)
@takes_settings("data", "port_base")
def simulate(
    loaded: Loaded,
    programme: Annotated[
        Path, typer.Option("--programme", metavar="NEW.toml", help="The programme file to try.", show_default=False)
    ],
    quarter: Annotated[str, typer.Option("--quarter", help="The quarter whose sales to try it on, like 2026Q4.")],
    against: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--against", metavar="FILE", help="The programme in force [default: the setting's]."),
    ] = None,
    csv: CsvFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what other terms would have cost on a quarter's real sales. Writes nothing but the file you ask for.

    Every sale that was reported is judged again by the new file: its products, countries, dates and tiers. Beside it
    stands what the quarter costs as it was counted. Sales that the new terms would have brought are not guessed.
    """
    from dataclasses import replace

    from deploy.runtime.programme import read_programme
    from services.payout.database import looking
    from services.payout.spreadsheet import write
    from services.payout.what_if import Summary, compare
    from streams.rules.terms import parse

    settings = loaded.settings
    real = read_programme(replace(settings, programme=str(against)) if against else settings, parse)
    other = read_programme(replace(settings, programme=str(programme)), parse)
    wanted = _quarter(quarter, None)
    summary = Summary(real.terms_for(wanted), other.terms_for(wanted))
    if other.terms_for(wanted).currency != summary.currency:
        raise UsageError(f"{programme} pays in {other.terms_for(wanted).currency}, the programme in {summary.currency}")
    with looking(settings) as connection:
        compared = summary.watch(compare(connection, real, other, wanted))
        first = next(compared, None)
        if first is None:
            raise _nothing(wanted)
        everybody = chain([first], compared)
        if csv is not None:
            write(csv, _simulation_lines(everybody))
        else:
            deque(everybody, maxlen=0)
    if not other.dates(wanted).covered or other.terms_for(wanted) == real.terms_for(wanted):
        output.note(
            f"{programme} has no terms of its own for {wanted}: to try some, "
            f"give them a valid_from of {wanted.first_day} or before"
        )
    if as_json:
        output.print_json(_simulation(summary, wanted))
    else:
        print("\n".join(_sentences(summary, real, other, wanted)))


_ACCRUAL = (
    *("PARTNER", "UNITS", "REBATE", "EXPECTED", "LOW", "HIGH", "REBATE THEN", "LOW", "HIGH"),
    *("ACCRUE", "CLOSED", "PAID"),
)
_UNITS = ("units", "expected_units", "low_units", "high_units")
_MONEY = ("rebate_minor", "expected_minor", "low_minor", "high_minor", "accrued_minor")


def _figures(found: Sequence[Accrued]) -> dict[str, int]:
    """The sums over some partners."""
    return {
        **{name: sum(getattr(one.outlook, name) for one in found) for name in (*_UNITS, *_MONEY)},
        "closed_minor": sum(one.closed_minor for one in found),
        "paid_minor": sum(one.paid_minor for one in found),
    }


def _accrual_row(name: str, figures: dict[str, int]) -> tuple[str, ...]:
    expected = ("expected_units", "low_units", "high_units", "expected_minor", "low_minor", "high_minor")
    columns = ("units", "rebate_minor", *expected, "accrued_minor", "closed_minor", "paid_minor")
    return name, *(_shown(column, figures[column]) for column in columns)


def _shown(column: str, figure: int) -> str:
    return _amount(figure) if column.endswith("_minor") else f"{figure:,}"


def _accrual_lines(found: Iterable[Accrued]) -> Iterator[str]:
    from services.payout.spreadsheet import decimal, line

    yield line(
        (
            *("partner", "units", "rebate", "expected_units", "low_units", "high_units", "expected_tier"),
            *("expected_rebate", "low_rebate", "high_rebate", "accrue", "closed", "paid"),
        )
    )
    for one in found:
        o = one.outlook
        units = (o.expected_units, o.low_units, o.high_units, o.expected_tier)
        money = (o.expected_minor, o.low_minor, o.high_minor, o.accrued_minor, one.closed_minor, one.paid_minor)
        yield line((one.partner_id, o.units, decimal(o.rebate_minor), *units, *map(decimal, money)))


def _simulation(summary: Summary, quarter: Quarter) -> dict[str, Any]:
    import msgspec

    return {
        "quarter": str(quarter),
        "currency": summary.currency,
        "partners": summary.partners,
        "real_minor": summary.real_minor,
        "other_minor": summary.other_minor,
        "difference_minor": summary.other_minor - summary.real_minor,
        "better": {"partners": summary.better, "difference_minor": summary.better_minor},
        "worse": {"partners": summary.worse, "difference_minor": summary.worse_minor},
        "real_tiers": msgspec.to_builtins(list(summary.real.values())),
        "other_tiers": msgspec.to_builtins(list(summary.other.values())),
        "winners": [_compared(one) for one in summary.winners],
        "losers": [_compared(one) for one in summary.losers],
    }


def _compared(one: Compared) -> dict[str, Any]:
    return {
        "partner_id": one.partner_id,
        "real": one.real._asdict(),
        "other": one.other._asdict(),
        "difference_minor": one.difference_minor,
    }


def _simulation_lines(compared: Iterable[Compared]) -> Iterator[str]:
    from services.payout.spreadsheet import decimal, line

    yield line(
        (
            *("partner", "real_units", "real_tier", "real_rebate", "other_units", "other_tier", "other_rebate"),
            "difference",
        )
    )
    for one in compared:
        real, other = one.real, one.other
        yield line(
            (
                *(one.partner_id, real.units, real.tier, decimal(real.rebate_minor)),
                *(other.units, other.tier, decimal(other.rebate_minor), decimal(one.difference_minor)),
            )
        )


def _sentences(summary: Summary, real: Programme, other: Programme, quarter: Quarter) -> Iterator[str]:
    yield output.paint(
        f"{quarter}, {summary.partners:,} partners: {real.name}, terms {real.terms_for(quarter).version}, beside "
        f"{other.name}, terms {other.terms_for(quarter).version}; amounts in {summary.currency}",
        "bold",
    )
    for name, tiers in (("as it is", summary.real), ("as it would be", summary.other)):
        rows = [
            (f"from {t.tier:,}", _amount(t.rate_minor), f"{t.partners:,}", f"{t.units:,}", _amount(t.rebate_minor))
            for t in tiers.values()
        ]
        units, cost = sum(t.units for t in tiers.values()), sum(t.rebate_minor for t in tiers.values())
        rows.append(("all", "", f"{summary.partners:,}", f"{units:,}", _amount(cost)))
        headers = (name.upper(), "A UNIT", "PARTNERS", "UNITS", "REBATE")
        yield ""
        yield output.table(headers, rows, headers[1:])
    difference = summary.other_minor - summary.real_minor
    share = f", {100 * difference / summary.real_minor:+.1f} %" if summary.real_minor else ""
    yield ""
    yield f"difference {_amount(difference, '+')}{share}"
    for name, partners, sum_minor, most in (
        ("more", summary.better, summary.better_minor, summary.winners),
        ("less", summary.worse, summary.worse_minor, summary.losers),
    ):
        examples = ", ".join(f"{one.partner_id} {_amount(one.difference_minor, '+')}" for one in most)
        yield f"{name} for {partners:,} of them: {_amount(sum_minor, '+')}" + (f" ({examples})" if examples else "")


def _amount(minor: int, sign: str = "") -> str:
    whole, rest = divmod(abs(minor), 100)
    return f"{'-' if minor < 0 else sign if minor else ''}{whole:,}.{rest:02d}"


def _quarter(text: str | None, day: date | None) -> Quarter:
    from schemas.values import Quarter

    try:
        return Quarter.parse(text or "") if text or day is None else Quarter.of(day)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _nothing(quarter: Quarter) -> StaffelError:
    return StaffelError(
        f"payout knows of no sale in {quarter}", "is it a quarter that was reported for?", code="nothing-known"
    )
