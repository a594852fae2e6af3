"""The mails under load: how soon a partner hears of a tier, and how long the weekly wave takes.

Everything is real: broker, worker, notification, and an SMTP server in a process of its own that takes every mail.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psutil

from deploy.embedded.stack import Stack
from deploy.runtime import kafka
from deploy.runtime.clock import open_clock
from deploy.runtime.errors import NotReady
from deploy.runtime.programme import read_programme
from deploy.runtime.settings import ROOT, Loaded, load
from schemas.events import Event, Partner, SaleReported, WeeklySummary
from schemas.topics import PARTNERS, SALES, WEEKLY_SUMMARIES, Topic
from schemas.values import Quarter
from services.intake.applied import Deadline, ends_of, wait_for_stream
from services.kit.sender import Sender, open_codec
from streams.rules.terms import Programme, parse

_SALES_AN_ALERT = 10
"""A partner's tenth unit reaches the first tier: of ten sales one causes a mail."""
_WARM_UP = 0.1
"""Share of the alerts, the first ones, that are sent and not counted."""
_STILL_SECONDS = 60
Say = Callable[[str], None]


class Alerts(NamedTuple):
    """From a sale being sent to the mail server having the alert, in milliseconds."""

    sales_per_second: int
    alerts: int
    p50_ms: float
    p99_ms: float
    slowest_ms: float


class Wave(NamedTuple):
    """The weekly mails of all partners, the first to the last."""

    mails: int
    seconds: float
    per_second: int
    sent_twice: int
    memory_begin_mb: int
    """Of the notification process, before the wave."""
    memory_peak_mb: int
    memory_end_mb: int


class Figures(NamedTuple):
    """What a run came to."""

    senders: int
    alerts: Alerts
    wave: Wave


class _Mail(NamedTuple):
    at: float
    recipient: str
    message_id: str


class _Arrivals:
    """Reads what the sink notes, as it notes it."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def new(self) -> list[_Mail]:
        """What arrived since it was last asked."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        rows = (line.split(" ") for line in whole.decode().splitlines())
        return [_Mail(float(at), recipient, message_id) for at, recipient, message_id in rows]

    def wait_for(self, number: int, look: Callable[[list[_Mail]], None]) -> list[_Mail]:
        """So many mails. Raises NotReady if none comes for a minute."""
        found: list[_Mail] = []
        moved = time.monotonic()
        while len(found) < number:
            new = self.new()
            look(new)
            if new:
                found += new
                moved = time.monotonic()
            elif time.monotonic() - moved > _STILL_SECONDS:
                raise NotReady(f"only {len(found)} of {number} mails came, and none for a minute")
            time.sleep(0.1)
        return found


def run(messages: int, sales_rate: int, seconds: float, port_base: int, say: Say) -> Figures:
    """Measure on this machine. Raises StaffelError if the stack can't start or mails stop coming."""
    with tempfile.TemporaryDirectory(prefix="staffel-bench-") as folder, _sink(Path(folder)) as (port, arrivals):
        loaded = load(
            {"data": Path(folder) / "data", "port_base": port_base, "smtp_url": f"smtp://127.0.0.1:{port}"}, {}
        )
        programme = read_programme(loaded.settings, parse)
        with Stack(loaded, services=("worker", "notification")) as stack:
            stack.wait_ready()
            say(f"sending {sales_rate:,} sales a second for {seconds:.0f} s …")
            alerts = _alerts(loaded, arrivals, sales_rate, seconds)
            say(f"writing the week of {messages:,} partners …")
            wave = _wave(loaded, programme, arrivals, messages, stack, say)
    return Figures(loaded.settings.mail_senders, alerts, wave)


@contextmanager
def _sink(folder: Path) -> Iterator[tuple[int, _Arrivals]]:
    notes = folder / "arrivals.txt"
    notes.touch()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "deploy.bench.sink", str(notes)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), _Arrivals(notes)
    finally:
        process.kill()
        process.wait()


def _alerts(loaded: Loaded, arrivals: _Arrivals, rate: int, seconds: float) -> Alerts:
    number = max(10, round(rate * seconds / _SALES_AN_ALERT))
    _send(loaded, PARTNERS, (_partner(f"A-{n}") for n in range(number)))
    wait_for_stream(loaded.settings, ends_of(loaded.settings, (PARTNERS,)), Deadline.after(120))
    codec = open_codec(loaded.settings, [SALES])
    sent: dict[str, float] = {}
    topic = SALES.full_name(loaded.settings.topic_prefix)
    producer = kafka.producer(loaded.settings, linger_ms=0)
    begun = time.monotonic()
    for n in range(number * _SALES_AN_ALERT):
        while time.monotonic() - begun < n / rate:
            producer.poll(0.0005)
        partner_id = f"A-{n // _SALES_AN_ALERT}"
        producer.produce(topic, codec.encode(SALES, _sale(n, partner_id)), partner_id.encode())
        sent[_address(partner_id)] = time.time()  # the last one counts: it reaches the tier
    producer.flush()
    found = arrivals.wait_for(number, lambda _: None)
    counted = list(sent)[int(number * _WARM_UP) :]
    arrived = {mail.recipient: mail.at for mail in found}
    waits = sorted(1000 * (arrived[address] - sent[address]) for address in counted)
    return Alerts(rate, len(waits), _at(waits, 0.5), _at(waits, 0.99), round(waits[-1], 1))


def _wave(loaded: Loaded, programme: Programme, arrivals: _Arrivals, number: int, stack: Stack, say: Say) -> Wave:
    pid = stack.pid("notification")
    assert pid is not None
    process = psutil.Process(pid)
    _send(loaded, PARTNERS, (_partner(f"W-{n}") for n in range(number)))
    memory = [process.memory_info().rss]
    done = 0

    def look(new: list[_Mail]) -> None:
        nonlocal done
        memory.append(process.memory_info().rss)
        if (done + len(new)) * 5 // number > done * 5 // number:
            say(f"  {done + len(new):,} mails")
        done += len(new)

    _send(loaded, WEEKLY_SUMMARIES, (_week(programme, n) for n in range(number)))
    found = arrivals.wait_for(number, look)
    took = found[-1].at - found[0].at
    return Wave(
        number,
        round(took, 1),
        round((number - 1) / took) if took else 0,
        len(found) - len({mail.message_id for mail in found}),
        *(round(rss / 1e6) for rss in (memory[0], max(memory), memory[-1])),
    )


def _send(loaded: Loaded, topic: Topic, events: Iterator[Event]) -> None:
    codec = open_codec(loaded.settings, [topic])
    with Sender(loaded.settings, codec, open_clock(loaded.settings), topic) as sender:
        for event in events:
            sender.send(event.partner_id, event)  # type: ignore[attr-defined]


def _partner(partner_id: str) -> Partner:
    return Partner(partner_id, "Bench", _address(partner_id), "de", "DE", date(2020, 1, 1))


def _address(partner_id: str) -> str:
    return f"{partner_id.lower()}@bench.example"


def _sale(number: int, partner_id: str) -> SaleReported:
    now = datetime.now(UTC)  # noqa: TID251  # the benchmark runs on real time
    return SaleReported(f"S-{number}", partner_id, "TS-100", 1, now.date(), now, (), "bench")


def _week(programme: Programme, number: int) -> WeeklySummary:
    now = datetime.now(UTC)  # noqa: TID251
    quarter = Quarter.of(now.date())
    terms, units = programme.terms_for(quarter), number % 70
    reached, above = terms.tier_for(units), terms.next_tier(units)
    return WeeklySummary(
        programme_id=programme.id,
        partner_id=f"W-{number}",
        quarter=str(quarter),
        week="{}-W{:02d}".format(*now.isocalendar()[:2]),
        units=units,
        tier=reached.units,
        rate_minor=reached.rate_minor,
        rebate_minor=terms.rebate_minor(units),
        currency=terms.currency,
        next_threshold=above.threshold if above else None,
        units_missing=above.units_missing if above else 0,
        gain_minor=above.gain_minor if above else 0,
        units_change=2,
        rebate_change_minor=1000,
        pending=1,
        rejected=0,
        quarter_ends_on=now.date() + timedelta(days=30),
        as_of=now,
    )


def _at(waits: list[float], share: float) -> float:
    return round(waits[min(len(waits) - 1, int(len(waits) * share))], 1)
