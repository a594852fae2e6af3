"""Imports against a real broker and registry: what stands in the topics afterwards, and what is said about it."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from deploy.embedded.stack import environment
from deploy.runtime import kafka
from deploy.runtime.clock import RealClock
from deploy.runtime.errors import NotReady
from deploy.runtime.settings import Loaded, Settings, load
from schemas.codec import header
from schemas.events import Partner, SaleReported
from schemas.topics import PARTNERS, SALES
from schemas.values import partition_of
from services.intake.importing import Request
from services.intake.partners import import_partners, registered
from services.intake.sales import import_sales
from services.kit.csvfile import Refusal
from services.kit.log import records
from services.kit.sender import open_codec
from tests.intake import files

CLOCK = RealClock()


def sales(settings: Settings, path: str, **asked: Any) -> dict[str, Any]:
    return import_sales(settings, CLOCK, Request(path, **asked)).as_dict()


def partners(settings: Settings, path: str, **asked: Any) -> dict[str, Any]:
    return import_partners(settings, CLOCK, Request(path, **asked)).as_dict()


def test_each_good_row_is_one_record_where_every_client_puts_it(settings: Settings, tmp_path: Path) -> None:
    rows = [files.sale(number, partner=f"P-{number}") for number in range(20)]
    found = sales(settings, files.write(tmp_path / "s.csv", files.SALES_HEADER, *rows, files.sale(99, quantity=0)))
    assert (found["rows"], found["sent"], found["refused"], found["reasons"]) == (21, 20, 1, {"bad-quantity": 1})
    messages: list[Message] = list(records(settings, SALES))
    assert {message.key() for message in messages} == {f"P-{number}".encode() for number in range(20)}
    assert all(message.partition() == partition_of(message.key() or b"", 2) for message in messages)
    codec = open_codec(settings, [SALES])
    event = codec.decode(SALES, messages[0].value() or b"")
    assert isinstance(event, SaleReported)
    assert (event.quantity, event.sold_on, event.reported_by) == (1, date(2026, 10, 5), "sales import")
    assert header(messages[0].headers(), "ce_type") == "staffel.SaleReported"
    assert header(messages[0].headers(), "ce_subject") == event.partner_id


def test_a_row_that_the_file_repeats_is_sent_once_and_one_that_contradicts_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    path = files.write(
        tmp_path / "s.csv",
        files.SALES_HEADER,
        files.sale(1),
        files.sale(1),
        files.sale(1, quantity=2),
        files.sale(1, partner="P-2"),
        "return,S-1,S-1,P-1,TS-100,1,2026-10-09,",
    )
    found = sales(settings, path)
    assert (found["sent"], found["repeated"], found["reasons"]) == (3, 1, {"conflicting-duplicate": 1})


def test_the_same_file_again_sends_the_same_ids(settings: Settings, tmp_path: Path) -> None:
    path = files.write(tmp_path / "s.csv", files.SALES_HEADER, *(files.sale(number) for number in range(5)))
    sales(settings, path)
    sales(settings, path)
    ids = Counter(header(message.headers(), "ce_id") for message in records(settings, SALES))
    assert sorted(ids.values()) == [2] * 5, "whoever reads them can tell that nothing new was said"


def test_a_dry_run_of_sales_sends_nothing_and_says_what_the_real_run_says(settings: Settings, tmp_path: Path) -> None:
    before = files.write(tmp_path / "a.csv", files.SALES_HEADER, files.sale(1), files.sale(2))
    sales(settings, before)
    path = files.write(
        tmp_path / "b.csv",
        files.SALES_HEADER,
        files.sale(1),
        files.sale(2, quantity=7),
        files.sale(3),
        files.sale(3),
        files.sale(4, sold_on="1.10.2026"),
        "return,R-1,S-1,P-1,TS-100,1,2026-10-09,",
    )
    rehearsed = sales(settings, path, dry_run=True)
    assert {name: rehearsed.pop(name) for name in ("new", "known", "conflicting")} == {
        "new": 2,
        "known": 1,
        "conflicting": 1,
    }
    assert len(list(records(settings, SALES))) == 2
    assert rehearsed | {"dry_run": False} == sales(settings, path)
    assert len(list(records(settings, SALES))) == 6


def test_refused_rows_can_be_mended_and_imported(settings: Settings, tmp_path: Path) -> None:
    told: list[Refusal] = []
    path = files.write(
        tmp_path / "s.csv",
        files.SALES_HEADER,
        files.sale(1),
        files.sale(2, quantity="two"),
        files.sale(3, quantity="x"),
    )
    first = sales(settings, path, rejects=tmp_path / "r.csv", on_refusal=told.append)
    assert [refusal.line for refusal in told] == [3, 4]
    assert first["refused"] == 2
    with (tmp_path / "r.csv").open(encoding="utf-8-sig") as file:
        assert {row["code"] for row in csv.DictReader(file)} == {"bad-quantity"}
    text = (tmp_path / "r.csv").read_text("utf-8-sig").replace(",two,", ",2,").replace(",x,", ",3,")
    (tmp_path / "r.csv").write_text(text, "utf-8-sig")
    mended = sales(settings, str(tmp_path / "r.csv"))
    assert (mended["sent"], mended["refused"]) == (2, 0)
    assert len(list(records(settings, SALES))) == 3


def test_partners_are_sent_when_new_or_changed(settings: Settings, tmp_path: Path) -> None:
    header = f"{files.PARTNERS_HEADER},left_on"
    rows = [f"{files.partner(f'P-{number}')}," for number in range(4)]
    path = files.write(tmp_path / "p.csv", header, *rows)
    rehearsed = partners(settings, path, dry_run=True)
    first = partners(settings, path)
    assert rehearsed | {"dry_run": False} == first
    assert (first["new"], first["changed"], first["unchanged"]) == (4, 0, 0)
    rows[1] = f"{files.partner('P-1', 'Another Name')},"
    rows[2] = f"{files.partner('P-2')},2026-11-30"
    second = partners(settings, files.write(tmp_path / "p.csv", header, *rows))
    assert (second["new"], second["changed"], second["unchanged"]) == (0, 2, 2)
    assert len(list(records(settings, PARTNERS))) == 6
    known = registered(settings, open_codec(settings, [PARTNERS]))
    assert known["P-1"].name == "Another Name"
    assert known["P-2"].left_on == date(2026, 11, 30)


def test_an_empty_left_on_brings_a_partner_back_but_no_such_column_does_not(settings: Settings, tmp_path: Path) -> None:
    def left_on() -> date | None:
        found: Partner = registered(settings, open_codec(settings, [PARTNERS]))["P-1"]
        return found.left_on

    with_column = f"{files.PARTNERS_HEADER},left_on"
    partners(settings, files.write(tmp_path / "p.csv", with_column, f"{files.partner('P-1')},2026-11-30"))
    partners(settings, files.write(tmp_path / "p.csv", files.PARTNERS_HEADER, files.partner("P-1", "Renamed")))
    assert left_on() == date(2026, 11, 30)
    partners(settings, files.write(tmp_path / "p.csv", with_column, f"{files.partner('P-1')},"))
    assert left_on() is None


def test_a_partner_whose_record_was_deleted_is_new_again(settings: Settings, tmp_path: Path) -> None:
    path = files.write(tmp_path / "p.csv", files.PARTNERS_HEADER, files.partner("P-1"))
    partners(settings, path)
    producer = kafka.producer(settings)
    producer.produce(PARTNERS.full_name(settings.topic_prefix), key=b"P-1", value=None)
    producer.flush()
    assert partners(settings, path)["new"] == 1


def test_a_partner_named_twice_must_be_the_same_twice(settings: Settings, tmp_path: Path) -> None:
    rows = [files.partner("P-1"), files.partner("P-1"), files.partner("P-1", "Other")]
    found = partners(settings, files.write(tmp_path / "p.csv", files.PARTNERS_HEADER, *rows))
    assert (found["new"], found["repeated"], found["reasons"]) == (1, 1, {"conflicting-duplicate": 1})


def test_memory_stays_flat_however_long_the_file(loaded: Loaded, tmp_path: Path) -> None:
    program = (
        "import resource, sys; from deploy.cli.main import run; code = run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )

    def most_kilobytes(rows: int) -> int:
        path = files.write(tmp_path / "s.csv", files.SALES_HEADER, *(files.sale(n, f"P-{n % 50}") for n in range(rows)))
        command = [sys.executable, "-c", program, "sales", "import", path]
        found = subprocess.run(command, env=environment(loaded), capture_output=True, text=True, check=True)
        sentence, kilobytes = found.stdout.splitlines()
        assert sentence == f"{rows:,} rows: {rows:,} sent; 0 refused"
        return int(kilobytes)

    # Rows that were kept would take a kilobyte and more each; the shorter file already fills the sender's queue.
    assert most_kilobytes(20_000) < most_kilobytes(5_000) + 10_000


@pytest.mark.parametrize("name", ["kafka", "registry_url"])
def test_what_is_not_reachable_is_named(settings: Settings, tmp_path: Path, name: str) -> None:
    dead = {"kafka": "127.0.0.1:1", "registry_url": "http://127.0.0.1:1/"}[name]
    flags = {n: getattr(settings, n) for n in ("kafka", "registry_url", "topic_prefix")} | {name: dead}
    path = files.write(tmp_path / "s.csv", files.SALES_HEADER, files.sale(1))
    with pytest.raises(NotReady) as error:
        sales(load(flags, {}).settings, path)
    assert error.value.hint
    assert "Kafka" in error.value.message or dead in error.value.message


def test_without_topics_the_way_out_is_told(settings: Settings, tmp_path: Path) -> None:
    flags = {n: getattr(settings, n) for n in ("kafka", "registry_url")} | {"topic_prefix": "nobody."}
    path = files.write(tmp_path / "s.csv", files.SALES_HEADER, files.sale(1))
    with pytest.raises(NotReady) as error:
        sales(load(flags, {}).settings, path)
    assert "topics create" in error.value.hint
