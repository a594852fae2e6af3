"""Letting people in from the command line: the vendor's staff, and a partner's first second factor."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from deploy.runtime.clock import RealClock
from deploy.runtime.settings import Loaded, load
from services.portal.audit import Wanted, entries
from services.portal.identity.codes import Codes, Purpose
from services.portal.queries import open_database
from tests.cli.calling import Result, call, succeed
from tests.portal.feeding import a_partner, feed

PASSWORD = "correct horse battery"


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    return load({"data": tmp_path / "data"}, {})


def add(loaded: Loaded, monkeypatch: pytest.MonkeyPatch, name: str, role: str, password: str = PASSWORD) -> Result:
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    return call(loaded, "staff", "add", name, "--role", role, "--password-stdin")


def test_people_are_entered_listed_changed_and_shut_out(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    done = add(loaded, monkeypatch, "anna", "approver")
    assert (done.code, "/sign-in" in done.out) == (0, True)
    assert add(loaded, monkeypatch, "bo", "operator").code == 0
    assert call(loaded, "staff", "role", "bo", "--role", "viewer").code == 0
    assert call(loaded, "staff", "disable", "bo").code == 0
    assert [(one["name"], one["role"], one["disabled"]) for one in succeed(loaded, "staff", "list")["staff"]] == [
        ("anna", "approver", False),
        ("bo", "viewer", True),
    ]
    assert "bo    viewer (disabled)  none" in call(loaded, "staff", "list").out
    assert call(loaded, "staff", "enable", "bo").code == 0
    assert call(loaded, "staff", "forget-factors", "bo").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("another good phrase\n"))
    assert call(loaded, "staff", "password", "bo", "--password-stdin").code == 0
    assert codes_of(loaded)[::-1] == [
        *("staff-added", "staff-added", "staff-role-changed", "staff-disabled"),
        *("staff-enabled", "staff-factors-forgotten", "staff-password-changed"),
    ]


def test_what_will_not_do_is_refused_in_words(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, role, password, words in (
        ("anna", "approver", "short", "12 to 200 characters"),
        ("anna", "approver", "password1234", "among the first"),
        ("anna", "root", PASSWORD, "no role"),
        ("a b", "viewer", PASSWORD, "can't be a name"),
    ):
        done = add(loaded, monkeypatch, name, role, password)
        assert (done.code, words in done.err) == (2, True), done
    assert add(loaded, monkeypatch, "anna", "approver").code == 0
    again = add(loaded, monkeypatch, "Anna", "viewer")
    assert (again.code, "already" in again.err) == (2, True)
    assert call(loaded, "staff", "disable", "nobody").code == 1
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "no terminal" in call(loaded, "staff", "add", "cy").err


def test_a_password_is_asked_for_twice(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    given = iter([PASSWORD, "correct horse batter", PASSWORD, PASSWORD])
    monkeypatch.setattr("getpass.getpass", lambda _: next(given))
    assert "not the same" in call(loaded, "staff", "add", "anna").err
    assert call(loaded, "staff", "add", "anna").code == 0


def test_an_activation_code_is_printed_once_and_works_once(loaded: Loaded) -> None:
    engine = open_database(loaded.settings)
    feed(engine, a_partner("P-1001"))
    assert "knows no partner" in call(loaded, "partners", "activation-code", "P-9").err
    first = succeed(loaded, "partners", "activation-code", "P-1001")["code"]
    second = call(loaded, "partners", "activation-code", "P-1001").out.strip()
    codes = Codes(RealClock(), loaded.settings, "test")
    with engine.begin() as connection:
        for code, works in ((first, False), (second.lower().replace("-", " "), True), (second, False)):
            assert codes.spend(connection, "partner P-1001", Purpose.ACTIVATION, code) == works
    engine.dispose()


def codes_of(loaded: Loaded) -> list[str]:
    engine = open_database(loaded.settings)
    with engine.connect() as connection:
        found = [row.what for row in entries(connection, Wanted()).rows]
    engine.dispose()
    return found
