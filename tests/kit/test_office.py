"""Offices: only the portal is heard, for what the role may do, once, and nothing it says is told on."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from deploy.runtime.errors import NotReady, StaffelError
from deploy.runtime.settings import Port, Settings, load
from services.kit.office.client import Away, Client, Refused
from services.kit.office.protocol import WINDOW_SECONDS, Actor, Arguments, Call, Operation, Role, Seal
from services.kit.office.server import Counter, NotOurs, Office
from tests.conftest import free_ports

CANARY = "DE02120300000000202051"
CLERK = Actor(Role.OPERATOR, "A. Clerk")
PARTNER = Actor(Role.PARTNER, "P1", "P1")
_numbers = itertools.count(1)


class Said(Arguments):
    text: str


def _echo(means: list[str], actor: Actor, said: Said) -> dict[str, str]:
    means.append(said.text)
    return {"said": said.text, "by": actor.by}


def _refuse(_means: list[str], _actor: Actor, _said: Said) -> None:
    raise StaffelError("this can't be", code="no-way")


def _break(_means: list[str], _actor: Actor, said: Said) -> None:
    raise ValueError(f"a bug that repeats {said.text}")


OPERATIONS = (
    Operation("echo", Said, _echo, staff=Role.OPERATOR, partner=Role.CONFIRMED),
    Operation("look", Said, _echo, staff=Role.VIEWER),
    Operation("refuse", Said, _refuse, staff=Role.VIEWER),
    Operation("break", Said, _break, staff=Role.VIEWER),
)


class HandTime:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.shown = 1_000_000.0

    def __call__(self) -> float:
        return self.shown


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"data": tmp_path, "port_base": free_ports()}, {}).settings


@pytest.fixture
def time() -> HandTime:
    return HandTime()


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def counter(settings: Settings, heard: list[str], time: HandTime) -> Counter:
    return Counter(settings, "test", heard, OPERATIONS, time)


@pytest.fixture
def address(settings: Settings, counter: Counter) -> Iterator[str]:
    """The address of an open office."""
    office = Office(settings, Port.PAYOUT_OFFICE, "test", counter)
    yield f"http://127.0.0.1:{settings.port(Port.PAYOUT_OFFICE)}"
    office.close()


def sealed(
    settings: Settings, at: float, operation: str = "echo", office: str = "test", actor: Actor = CLERK, **said: Any
) -> bytes:
    """A call as the portal makes it."""
    arguments = msgspec.Raw(msgspec.json.encode(said or {"text": "x"}))
    call = Call(at, str(next(_numbers)), actor, arguments)
    return Seal(settings, office).call(operation, msgspec.json.encode(call))


def asked(client: Client, actor: Actor, operation: str) -> str:
    """The code of the refusal, or nothing."""
    try:
        client.ask(actor, operation, object, text="x")
    except Refused as refused:
        return refused.code
    return ""


def test_what_is_asked_is_done_and_answered(settings: Settings, address: str, heard: list[str], time: HandTime) -> None:
    client = Client(settings, "test", address, time)
    client.ask(CLERK, "hello", object)
    assert client.ask(CLERK, "echo", dict[str, str], text=CANARY) == {"said": CANARY, "by": "A. Clerk"}
    with pytest.raises(Refused, match="this can't be") as refused:
        client.ask(CLERK, "refuse", object, text="x")
    assert refused.value.code == "no-way"
    assert heard == [CANARY]


def test_nobody_on_the_way_reads_or_changes_a_call(settings: Settings, counter: Counter, time: HandTime) -> None:
    body = sealed(settings, time(), text=CANARY)
    assert CANARY.encode() not in body
    for place in (0, len(body) // 2, len(body) - 1):
        changed = bytearray(body)
        changed[place] ^= 1
        with pytest.raises(NotOurs):
            counter.serve("echo", bytes(changed))
    answer = counter.serve("echo", body)
    assert CANARY.encode() not in answer


def test_a_call_is_good_for_its_office_and_its_operation_alone(
    settings: Settings, counter: Counter, heard: list[str], time: HandTime
) -> None:
    with pytest.raises(NotOurs):
        counter.serve("look", sealed(settings, time(), "echo"))
    with pytest.raises(NotOurs):
        counter.serve("echo", sealed(settings, time(), office="another"))
    assert heard == []


def test_another_key_opens_nothing(counter: Counter, tmp_path: Path, time: HandTime) -> None:
    stranger = load({"data": tmp_path / "elsewhere"}, {}).settings
    with pytest.raises(NotOurs):
        counter.serve("echo", sealed(stranger, time()))
    with pytest.raises(NotOurs):
        counter.serve("echo", b"")


def test_a_call_is_heard_once(settings: Settings, counter: Counter, heard: list[str], time: HandTime) -> None:
    body = sealed(settings, time())
    counter.serve("echo", body)
    for seconds in (0.0, WINDOW_SECONDS - 1, 1.0, 1.0):
        time.shown += seconds
        with pytest.raises(NotOurs):
            counter.serve("echo", body)
    assert heard == ["x"]


@pytest.mark.parametrize("off", [-WINDOW_SECONDS - 1, WINDOW_SECONDS + 1])
def test_a_call_of_another_time_is_not_heard(
    settings: Settings, counter: Counter, heard: list[str], time: HandTime, off: float
) -> None:
    time.shown += 1000
    with pytest.raises(NotOurs, match="clocks"):
        counter.serve("echo", sealed(settings, time() + off))
    counter.serve("echo", sealed(settings, time() + off * 0.9))
    assert heard == ["x"]


def test_an_office_that_was_opened_anew_hears_nothing_from_before(settings: Settings, time: HandTime) -> None:
    body = sealed(settings, time())
    time.shown += 5
    with pytest.raises(NotOurs, match="before this office"):
        Counter(settings, "test", [], OPERATIONS, time).serve("echo", body)


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.PARTNER, set()),
        (Role.CONFIRMED, {"echo"}),
        (Role.VIEWER, {"look"}),
        (Role.OPERATOR, {"echo", "look"}),
        (Role.APPROVER, {"echo", "look"}),
    ],
)
def test_the_office_asks_for_the_role_again(
    settings: Settings, address: str, heard: list[str], time: HandTime, role: Role, may: set[str]
) -> None:
    client, done = Client(settings, "test", address, time), set()
    for name in ("echo", "look"):
        answered = asked(client, Actor(role, "somebody"), name)
        assert answered in ("", "not-allowed")
        done |= {name} if not answered else set()
    assert done == may
    assert len(heard) == len(may)


def test_arguments_that_do_not_fit_are_refused_without_repeating_them(
    settings: Settings, address: str, heard: list[str], time: HandTime
) -> None:
    client = Client(settings, "test", address, time)
    for said in ({}, {"text": 5}, {"text": "x", "more": CANARY}, {"texts": CANARY}):
        with pytest.raises(Refused) as refused:
            client.ask(CLERK, "echo", object, **said)
        assert refused.value.code == "bad-arguments"
        assert CANARY not in refused.value.message
    with pytest.raises(Refused) as refused:
        client.ask(CLERK, "nonsense", object)
    assert refused.value.code == "unknown-operation"
    assert heard == []


def test_a_bug_is_told_by_its_place_and_not_by_what_was_said(
    settings: Settings,
    address: str,
    time: HandTime,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Refused) as refused:
        Client(settings, "test", address, time).ask(CLERK, "break", object, text=CANARY)
    assert refused.value.code == "failed"
    out, err = capfd.readouterr()
    said = caplog.text + out + err + str(refused.value)
    assert "test_office.py" in said
    assert CANARY not in said


def test_a_stranger_is_told_nothing(address: str, heard: list[str]) -> None:
    with httpx2.Client(base_url=address, trust_env=False) as stranger:
        for path in ("/test/echo", "/test/nonsense"):
            answer = stranger.post(path, content=b"{}")
            assert (answer.status_code, answer.content) == (403, b"")
        assert stranger.get("/test/echo").status_code == 405
        assert stranger.get("/docs").status_code == 404
        assert "server" not in answer.headers
    assert heard == []


def test_an_office_that_is_away_is_said_to_be(settings: Settings, time: HandTime) -> None:
    client = Client(settings, "payout", f"http://127.0.0.1:{settings.port(Port.PAYOUT_OFFICE)}", time)
    with pytest.raises(Away, match="payout does not answer") as away:
        client.ask(CLERK, "echo", object, text="x")
    assert not away.value.may_be_done


def test_somebody_else_in_its_place_is_not_believed(settings: Settings, address: str, tmp_path: Path) -> None:
    """Another key there is the same as another program there."""
    other = load({"data": tmp_path / "elsewhere"}, {}).settings
    with pytest.raises(Away):
        Client(other, "test", address, HandTime()).ask(CLERK, "echo", object, text="x")


def test_it_listens_to_this_machine_alone_and_a_taken_port_is_a_sentence(
    settings: Settings, address: str, counter: Counter
) -> None:
    assert settings.office_listen == "127.0.0.1"
    with pytest.raises(NotReady, match="test's office is taken"):
        Office(settings, Port.PAYOUT_OFFICE, "test", counter)
