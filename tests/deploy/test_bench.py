"""The benchmarks run, small: their figures are of real work, and nothing of it stays."""

from __future__ import annotations

from deploy.bench import mail
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
