"""The folder that the bank's answers are put into."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import event, func, select

from services.payout.answers.document import SIZE_MAX
from services.payout.answers.folder import Folder, Found, refused
from services.payout.tables import bank_files
from tests.payout.answers.bank import Movement, paid, payment_states, report, run_id, sound, statement
from tests.payout.office import FINAL, Office


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "bank")


def look(office: Office, folder: Folder, at: float) -> list[Found]:
    return list(folder.look(office.engine, office.vault, FINAL, at))


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir()) if place.is_dir() else []


def test_a_file_is_read_once_it_rests_and_put_away(office: Office, folder: Folder) -> None:
    content = statement([Movement(paid(office, "P1")["P1"])])
    path = folder.path / "053.xml"
    path.write_bytes(content[:500])
    assert look(office, folder, 0) == []
    path.write_bytes(content)
    assert look(office, folder, 1.9) == []
    assert look(office, folder, 3.8) == []
    (found,) = look(office, folder, 4.0)
    assert found.outcome is not None
    assert payment_states(office) == {"P1": ("settled", None)}
    assert names(folder.path) == ["done"]
    assert names(folder.path / "done") == ["053.xml"]
    assert look(office, folder, 10) == []


def test_what_cannot_be_read_is_put_aside_with_the_reason(desk: Office, folder: Folder) -> None:
    (folder.path / "bad.XML").write_bytes(b"<Document/>")
    (folder.path / "good.xml").write_bytes(report("RB-20270129-ABCD", "ACCP"))
    look(desk, folder, 0)
    bad, good = look(desk, folder, 2)
    assert (bad.outcome, good.outcome is None) == (None, False)
    assert names(folder.path / "refused") == ["bad.XML", "bad.XML.txt"]
    assert (folder.path / "refused" / "bad.XML.txt").read_text("utf-8") == f"{bad.why}\n"
    assert refused(folder.path) == 1


def test_a_name_that_was_there_before_is_kept_beside_it(desk: Office, folder: Folder) -> None:
    for number in range(3):
        (folder.path / "053.xml").write_bytes(report("RB-20270129-ABCD", message_id=f"PSR-{number}"))
        look(desk, folder, number * 10)
        assert len(look(desk, folder, number * 10 + 5)) == 1
    assert names(folder.path / "done") == ["053.2.xml", "053.3.xml", "053.xml"]


def test_only_finished_ordinary_xml_files_are_touched(desk: Office, folder: Folder, tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_bytes(report("RB-20270129-ABCD", "ACCP"))
    (folder.path / "053.xml.part").write_bytes(b"x")
    (folder.path / "notes.txt").write_bytes(b"x")
    (folder.path / "link.xml").symlink_to(secret)
    (folder.path / "folder.xml").mkdir()
    os.mkfifo(folder.path / "pipe.xml")
    before = names(folder.path)
    assert look(desk, folder, 0) == []
    assert look(desk, folder, 9) == []
    assert names(folder.path) == before


def test_a_huge_file_is_refused_unread(desk: Office, folder: Folder) -> None:
    with (folder.path / "huge.xml").open("wb") as file:
        file.truncate(SIZE_MAX * 100)
    look(desk, folder, 0)
    (found,) = look(desk, folder, 9)
    assert "larger" in found.why


def test_a_file_whose_name_is_no_text_is_read_like_any_other(desk: Office, folder: Folder) -> None:
    path = os.fsencode(folder.path) + b"/\xff\xfe.xml"
    with open(path, "wb") as file:
        file.write(report("RB-20270129-ABCD", "ACCP"))
    look(desk, folder, 0)
    (found,) = look(desk, folder, 9)
    assert found.outcome is not None
    with desk.engine.connect() as connection:
        assert connection.execute(select(bank_files.c.name)).scalar() == "??.xml"


def test_a_file_that_cannot_be_moved_away_is_read_once(desk: Office, folder: Folder) -> None:
    (folder.path / "053.xml").write_bytes(statement([Movement(paid(desk, "P1")["P1"])]))
    (folder.path / "done").write_bytes(b"somebody's file of this name")
    look(desk, folder, 0)
    (found,) = look(desk, folder, 5)
    assert found.left
    assert look(desk, folder, 10) == []
    assert payment_states(desk) == {"P1": ("settled", None)}


def test_a_folder_that_is_gone_stops_nobody(desk: Office, folder: Folder) -> None:
    folder.path.rmdir()
    assert look(desk, folder, 0) == []


class Crash(BaseException):
    """The process is killed."""


def test_killed_at_any_point_it_ends_where_it_would_have(
    office: Office, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []

    def burn(*_: object) -> None:
        if left:
            left[0] -= 1
            if left[0] < 0:
                raise Crash

    for name in ("before_cursor_execute", "commit"):
        event.listen(office.engine, name, burn)
    replace = Path.replace

    def burn_and_replace(self: Path, target: Path) -> Path:
        burn()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", burn_and_replace)
    ids = paid(office, "P1", "P2")
    refusal = report(run_id(office), "PART", transactions=[(ids["P2"], "RJCT", "AC04"), (ids["P1"], "ACCP", "")])
    contents = {"1.xml": refusal, "2.xml": statement([Movement(ids["P1"]), Movement("270129-AAAAAAAAA")])}
    points, clock = 0, 0.0
    while names(folder.path / "done") != sorted(contents):
        for name, content in contents.items():
            if not (folder.path / "done" / name).exists():
                (folder.path / name).write_bytes(content)
        left[:] = [points]
        clock += 10
        try:
            look(office, folder, clock)
            look(office, folder, clock + 5)
        except Crash:
            points += 1
        left.clear()
        assert sound(office) == []
    assert points > 15
    assert payment_states(office) == {"P1": ("settled", None), "P2": ("rejected", "AC04")}
    with office.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(bank_files)).scalar() == 2
    numbered = [(said.partner_id, said.revision, said.sequence) for said in office.published()]
    assert len(numbered) == len(set(numbered)) == 2 + 2 + 2
