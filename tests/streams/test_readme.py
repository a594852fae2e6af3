"""The README's ten lines: a sale from any Kafka client counts the same."""

from __future__ import annotations

import re
import subprocess
import sys

from deploy.runtime.settings import Settings
from tests.streams.harness import ROOT, Wire, Worker, a_partner, environment
from tests.waiting import until


def test_the_readmes_producer_sends_a_sale_that_counts(settings: Settings) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert code is not None
    addresses = {"KAFKA_BOOTSTRAP_SERVERS": settings.kafka, "SCHEMA_REGISTRY_URL": settings.registry_url}
    subprocess.run([sys.executable, "-c", code[1]], env=environment(settings) | addresses, check=True, timeout=60)
    wire = Wire(settings)
    wire.send(a_partner("P-1001"))
    wire.flush()
    worker = Worker(settings, on_test_clock=False)
    try:
        worker.ready()
        until(lambda: wire.units() == {"P-1001": 2}, what="the README's sale")
    finally:
        worker.stop()
