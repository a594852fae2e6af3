"""``bench``: how fast this machine does the work, at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag
from deploy.cli.output import ending

if TYPE_CHECKING:
    from deploy.bench.portal import PageTimes, Spread

app = typer.Typer(rich_markup_mode=None)
bench = typer.Typer(rich_markup_mode=None, help="Measure this machine, on a stack of its own that is gone afterwards.")
app.add_typer(bench, name="bench")

PortBase = Annotated[int, typer.Option("--port-base", help="First of the ports that the benchmark uses.")]


@bench.command("stream", epilog=ending("./staffel bench stream", "./staffel bench stream --sales 4000000 --workers 2"))
def stream(
    sales: Annotated[int, typer.Option(min=1000, help="Sales to work off.")] = 1_000_000,
    workers: Annotated[int, typer.Option(min=1, max=4, help="Workers that share them.")] = 2,
    rate: Annotated[int, typer.Option(min=1, help="Sales a second for the latency.")] = 1000,
    seconds: Annotated[float, typer.Option(min=1, help="How long they are sent.")] = 20,
    port_base: PortBase = 18200,
    as_json: JsonFlag = False,
) -> None:
    """Work off many sales of 20,000 partners, start again with all of them, then time tier changes at a steady rate.

    The sales are written first, so the stream alone is measured: all rules, deduplication, durable state, exactly once.
    Other work on the machine shows in the figures; run it on an idle one, several times.
    """
    from deploy.bench.stream import run

    found = run(sales, workers, rate, seconds, port_base, lambda line: None if as_json else output.note(line))
    if as_json:
        output.print_json(
            {**found._asdict(), "throughput": found.throughput._asdict(), "latency": found.latency._asdict()}
        )
        return
    done, wait = found.throughput, found.latency
    rows = [
        ("sales worked off", f"{done.sales:,} in {done.seconds:.1f} s by {found.workers} workers"),
        ("a second", f"{done.per_second:,}"),
        ("a second of processor", f"{done.per_cpu_second:,}"),
        ("memory", f"{done.memory_mb:,} MB at most, {done.memory_bytes_per_sale:,} bytes a sale"),
        ("restored", f"{found.restore_seconds:.1f} s from a worker's start to its having all of them"),
        ("sale to tier change", f"{wait.p50_ms} ms median, {wait.p99_ms} ms at the 99th percentile,"),
        ("", f"of {wait.tier_changes:,} at {wait.per_second:,} sales a second"),
    ]
    print("\n".join(f"{output.paint(name.ljust(22), 'bold')} {value}" for name, value in rows))


@bench.command("mail", epilog=ending("./staffel bench mail", "./staffel bench mail --messages 5000 --seconds 10"))
def mail(
    messages: Annotated[int, typer.Option(min=10, help="Partners who get a weekly mail.")] = 100_000,
    sales_rate: Annotated[int, typer.Option(min=10, help="Sales a second, one in ten of which causes an alert.")] = 500,
    seconds: Annotated[float, typer.Option(min=1, help="How long they are sent.")] = 30,
    port_base: PortBase = 18200,
    as_json: JsonFlag = False,
) -> None:
    """Time the alert about a new tier at a steady rate of sales, then send everybody his weekly mail.

    The mail server is real, in a process of its own, takes every mail and keeps none. It, broker, worker and
    notification share this machine; a machine of its own for each would show higher figures.
    """
    from deploy.bench.mail import run

    found = run(messages, sales_rate, seconds, port_base, lambda line: None if as_json else output.note(line))
    if as_json:
        output.print_json({**found._asdict(), "alerts": found.alerts._asdict(), "wave": found.wave._asdict()})
        return
    alerts, wave = found.alerts, found.wave
    rows = [
        ("sale to alert taken", f"{alerts.p50_ms} ms median, {alerts.p99_ms} ms at the 99th percentile,"),
        ("", f"{alerts.slowest_ms} ms at most, of {alerts.alerts:,} at {alerts.sales_per_second:,} sales a second"),
        ("weekly mails", f"{wave.mails:,} in {wave.seconds:,} s over {found.senders} connections"),
        ("a second", f"{wave.per_second:,}"),
        ("sent twice", f"{wave.sent_twice}"),
        ("memory", f"{wave.memory_begin_mb} MB before, {wave.memory_peak_mb} at most, {wave.memory_end_mb} after"),
    ]
    print("\n".join(f"{output.paint(name.ljust(22), 'bold')} {value}" for name, value in rows))


@bench.command("portal", epilog=ending("./staffel bench portal", "./staffel bench portal --lines 0 --streams 500"))
def portal(
    sales: Annotated[int, typer.Option(min=100, help="Sales of the partner whose pages are looked at.")] = 100_000,
    partners: Annotated[int, typer.Option(min=100, help="Other partners.")] = 20_000,
    lines: Annotated[int, typer.Option(min=0, help="Sales of all of them together.")] = 1_000_000,
    readers: Annotated[int, typer.Option(min=1, help="Readers at a time, each asks for the next page at once.")] = 50,
    seconds: Annotated[float, typer.Option(min=1, help="How long they read.")] = 30,
    streams: Annotated[int, typer.Option(min=1, help="Pages that are open and update by themselves.")] = 5000,
    port_base: PortBase = 18200,
    as_json: JsonFlag = False,
) -> None:
    """Time the pages of a partner with many sales, and those of the vendor, and keep many pages open.

    The web server is the real one on SQLite; the read model is written directly, without Kafka. Readers and server
    share this machine.
    """
    from deploy.bench.pages import Size
    from deploy.bench.portal import run

    size = Size(sales, partners, lines)
    found = run(size, readers, seconds, streams, port_base, lambda line: None if as_json else output.note(line))
    if as_json:
        output.print_json(msgspec.to_builtins(found))
        return
    own, live = found.together, found.streams
    rows = [
        ("load before", f"{found.load}"),
        (f"{readers} readers at once", f"{found.pages_a_second} pages a second of one partner"),
        *_page_rows(own),
        *(row for page in (*found.partner_pages, *found.staff_pages) for row in _page_rows(page)),
        ("memory", f"{found.memory_mb:,} MB with {readers} readers"),
        ("open pages", f"{live.open:,} with {live.memory_mb:,} MB, {live.kb_each} KB each, {live.idle_percent} % idle"),
        ("sale to browser", _said(live.delay)),
    ]
    print("\n".join(f"{output.paint(name.ljust(22), 'bold')} {value}" for name, value in rows))


def _page_rows(page: PageTimes) -> list[tuple[str, str]]:
    return [
        (page.page, f"{_said(page.server)} in the server,"),
        ("", f"{_said(page.browser)} at the reader's, of {page.asked:,}"),
    ]


def _said(spread: Spread) -> str:
    return f"{spread.p50_ms} ms median, {spread.p95_ms} ms p95, {spread.p99_ms} ms p99"
