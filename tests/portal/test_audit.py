"""Who did what is kept, and nobody changes it afterwards."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import DBAPIError

from services.portal.audit import Wanted, actor, all_entries, entries, kinds, note, told
from services.portal.auth import PARTNER, STAFF, Visitor
from services.portal.tables import audit


def write(engine: Engine, number: int = 1) -> None:
    with engine.begin() as connection:
        for index in range(number):
            note(connection, "staff anna", "run-approved", f"RUN-{index}", payments=index)
        note(connection, "partner P1", "link-redeemed", "P1")


def test_an_entry_is_written_with_the_action_or_not_at_all(engine: Engine) -> None:
    def fail_after_it() -> None:
        with engine.begin() as connection:
            note(connection, "staff anna", "run-approved", "RUN-1")
            raise LookupError

    with pytest.raises(LookupError):
        fail_after_it()
    with engine.connect() as connection:
        assert entries(connection, Wanted()).total == 0
    write(engine)
    with engine.connect() as connection:
        latest = entries(connection, Wanted()).rows[0]
    assert (latest.who, latest.what, latest.about, latest.details) == ("partner P1", "link-redeemed", "P1", {})


@pytest.mark.parametrize("statement", [update(audit).values(who="nobody"), delete(audit)])
def test_an_entry_can_be_neither_changed_nor_deleted(engine: Engine, statement: object) -> None:
    write(engine)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(statement)  # type: ignore[call-overload]
    with engine.connect() as connection:
        assert len(connection.execute(select(audit)).all()) == 2


def test_entries_are_found_by_who_what_and_about_page_by_page(engine: Engine) -> None:
    write(engine, 60)
    with engine.connect() as connection:
        first, last = entries(connection, Wanted(who="anna")), entries(connection, Wanted(who="anna", page=9))
        assert (first.total, first.pages, len(first.rows), len(last.rows), last.page) == (60, 2, 50, 10, 2)
        assert [row.about for row in first.rows[:2]] == ["RUN-59", "RUN-58"]
        assert entries(connection, Wanted(what="link-redeemed")).total == 1
        assert entries(connection, Wanted(about="run-7")).total == 1
        assert entries(connection, Wanted(who="%")).total == 0
        assert kinds(connection) == ["link-redeemed", "run-approved"]
        assert [row.about for row in all_entries(connection, Wanted(what="run-approved"))][:2] == ["RUN-0", "RUN-1"]


def test_a_code_that_is_too_long_or_none_is_a_mistake_of_ours(engine: Engine) -> None:
    with engine.begin() as connection:
        for what in ("", "x" * 41):
            with pytest.raises(ValueError, match="no code"):
                note(connection, "staff anna", what)


def test_an_entry_is_one_line(engine: Engine) -> None:
    with engine.begin() as connection:
        note(connection, "staff a\nb", "looked", "x\0y", why="c\r\nd", times=2, sure=True)
        (row,) = entries(connection, Wanted()).rows
    assert (row.who, row.about) == ("staff a\ufffdb", "x\ufffdy")
    assert told(row.details) == "sure: yes, times: 2, why: c\ufffd\ufffdd"


def test_who_it_is_says_whether_a_partner_or_staff() -> None:
    assert actor(Visitor(STAFF, "", "s", "anna")) == "staff anna"
    assert actor(Visitor(STAFF, "", "s")) == "staff"
    assert actor(Visitor(PARTNER, "P1", "s")) == "partner P1"
    looking_on = Visitor(STAFF, "", "s", "anna", viewing="P1")
    assert actor(looking_on) == actor(looking_on.as_partner()) == "staff anna"
