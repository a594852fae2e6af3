"""The benchmarks run, small: their figures are of real work, and nothing of it stays."""

from __future__ import annotations

import pytest

from deploy.bench import mail, portal
from deploy.bench.pages import Size
from deploy.bench.stream import run
from tests.conftest import free_ports


def test_a_small_run_works_everything_off_and_times_it() -> None:
    lines: list[str] = []
    found = run(sales=2_000, workers=1, rate=50, seconds=1, port_base=free_ports(), say=lines.append)
    assert (found.throughput.sales, found.latency.tier_changes) == (2_000, 50)
    assert found.throughput.per_second > 0
    assert found.throughput.per_cpu_second > 0
    assert 0 < found.latency.p50_ms <= found.latency.p99_ms
    assert found.restore_seconds > 0
    assert "2,000 applied" in " ".join(lines)


def test_a_small_run_sends_every_mail_once_and_times_the_alerts() -> None:
    found = mail.run(messages=200, sales_rate=200, seconds=2, port_base=free_ports(), say=lambda _: None)
    assert (found.wave.mails, found.wave.sent_twice) == (200, 0)
    assert found.wave.per_second > 0
    assert 0 < found.wave.memory_begin_mb <= found.wave.memory_peak_mb
    assert found.alerts.alerts == 36, "forty, without those that warm everything up"
    assert 0 < found.alerts.p50_ms <= found.alerts.p99_ms <= found.alerts.slowest_ms


def test_a_small_run_reads_every_page_while_something_is_sold_and_sends_each_sale_to_all_who_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("_WARM_UP_SECONDS", "_THINK_SECONDS", "_IDLE_SECONDS"):
        monkeypatch.setattr(portal, name, 0.1)
    size = Size(sales=300, partners=100, lines=100)
    found = portal.run(size, 3, 1, 200, free_ports(), lambda _: None)
    assert {page.page for page in found.partner_pages} == set(portal.PARTNER_PAGES)
    assert found.together.asked == sum(page.asked for page in found.partner_pages) > 0
    for page in (*found.partner_pages, *found.staff_pages):
        assert 0 < page.server.p50_ms <= page.server.p99_ms, page
        assert page.server.p50_ms <= page.browser.p50_ms, page
    assert found.streams.open == 200
    assert 0 < found.streams.delay.p50_ms <= found.streams.delay.p99_ms
