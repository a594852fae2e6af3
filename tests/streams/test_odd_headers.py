"""Names of headers that are no UTF-8, as clients in C may write them: told as none, however often headers were read."""

from __future__ import annotations

import subprocess
import sys

from deploy.runtime import kafka
from deploy.runtime.settings import Settings
from schemas.codec import header
from schemas.topics import SALES
from services.kit.log import records
from tests.streams.harness import Wire
from tests.streams.test_bad_input import ODD_NAME


def test_odd_names_are_told_as_no_headers_in_a_loop_that_has_run_often(settings: Settings) -> None:
    wire = Wire(settings)
    for _ in range(200):
        wire.raw(SALES, b"P1", b"x", headers=[("name", b"value")], partition=0)
    wire.flush()
    where = settings.kafka, SALES.full_name(settings.topic_prefix), "0"
    subprocess.run([sys.executable, "-c", ODD_NAME, *where, *["78"] * 50], check=True, timeout=60)
    names = [header(kafka.headers_of(message), "name") for message in records(settings, SALES)]
    assert names == ["value"] * 200 + [None] * 50
