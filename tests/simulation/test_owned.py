"""What a worker owns, what ends it, and with which code: the supervisor and its operator go by that."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast

import pytest
from faust.types import TP
from prometheus_client import REGISTRY

from deploy.runtime.errors import Exit, StaffelError
from schemas.codec import RegistryAway
from schemas.topics import PARTNERS, POSITIONS, SALES
from streams import owned as module
from streams.held import HeldPartition
from streams.letters import TooManyDeadLetters
from streams.owned import Owned
from streams.partition import Revoked
from tests.rules.facts import a_sale
from tests.simulation.given import PREFIX, settings
from tests.simulation.test_partition import Bench

T = TypeVar("T")


class Ended(BaseException):
    """The process ended."""


async def turn() -> None:
    """Let the others go on by a step."""
    loop = asyncio.get_running_loop()
    going = loop.create_future()
    loop.call_soon(going.set_result, None)
    await going


class Lane:
    """Does the work at once, and none after its end, as a thread."""

    finished = False

    async def run(self, work: Callable[[], T]) -> T:
        if self.finished:
            raise RuntimeError("cannot schedule new futures after shutdown")
        await turn()
        return work()

    async def finish(self) -> None:
        self.finished = True


class OneProcess(Bench):
    """A machine whose end is noted."""

    def __init__(self, partitions: int = 1) -> None:
        super().__init__()
        self.code: int | None = None
        self.around = self.around._replace(settings=settings(partitions))
        for topic in self.broker.topics.values():
            topic.logs.extend(type(topic.logs[0])() for _ in range(partitions - 1))

    def lane(self, _name: str) -> Any:
        return Lane()

    def exit(self, code: int) -> NoReturn:
        self.code = code
        raise Ended


def places(*numbers: int, topics: Any = (SALES, PARTNERS)) -> list[TP]:
    return [TP(topic.full_name(PREFIX), number) for topic in topics for number in numbers]


def ended_by(error: BaseException) -> int | None:
    """The code with which an error among the agents ends the worker; None if it does not."""
    process = OneProcess()

    async def story() -> None:
        async with Owned(process.around).or_die():
            raise error

    try:
        asyncio.run(story())
    except Ended:
        return process.code
    return None


def test_what_is_not_handled_ends_the_worker_with_a_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended_by(ValueError("x")) == Exit.FAILED
    assert ended_by(SystemExit(3)) == Exit.FAILED
    assert capfd.readouterr().err == ""
    assert ended_by(StaffelError("what it is", "what to do", Exit.REFUSED)) == Exit.REFUSED
    assert capfd.readouterr().err == "worker: what it is\nhint: what to do\n"
    assert ended_by(RegistryAway("it does not answer")) == Exit.NOT_READY
    assert "worker: it does not answer\nhint: is the registry running?" in capfd.readouterr().err


def test_what_a_revocation_overtook_ends_nothing() -> None:
    assert ended_by(Revoked("not ours")) is None
    with pytest.raises(asyncio.CancelledError):
        ended_by(asyncio.CancelledError())


@pytest.mark.parametrize("told_to_end", [False, True])
def test_too_many_dead_letters_are_seen_for_a_while_before_the_end(
    told_to_end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOPPED_SECONDS", 30 if told_to_end else 0.05)
    process, waiting = OneProcess(), []
    too_many = TooManyDeadLetters("too many", "mend the sender", Exit.REFUSED)

    async def story() -> None:
        loop = asyncio.get_running_loop()
        handlers = dict[int, Any]()
        cast(Any, loop).add_signal_handler = lambda number, *what: handlers.update({number: what})
        task = asyncio.ensure_future(stopped())
        await turn()
        waiting.append((process.code, REGISTRY.get_sample_value("rebate_stopped_by_dead_letters")))
        call, *given = handlers[signal.SIGTERM]
        if told_to_end:
            call(*given)
        await task

    async def stopped() -> None:
        async with Owned(process.around).or_die():
            raise too_many

    with pytest.raises(Ended):
        asyncio.run(story())
    assert waiting == [(None, 1.0)]
    assert process.code == Exit.REFUSED


def test_partitions_are_taken_once_and_begin_behind_what_is_applied() -> None:
    process = OneProcess(2)
    process.send(SALES, a_sale("A"), a_sale("B"))

    async def story() -> None:
        owned = Owned(process.around)
        with pytest.raises(Revoked, match="0"):
            owned.partition(0)
        assert (owned.all(), owned.assigned, owned.applied(places(0)[0])) == ([], False, 0)
        begun = await owned.where_to_begin(places(0, 1))
        assert begun == dict.fromkeys(places(0, 1), 0)
        assert (owned.assigned, [held.number for held in owned.all()]) == (True, [0, 1])
        assert REGISTRY.get_sample_value("rebate_partitions_owned") == 2
        await owned.partition(0).apply(SALES, [process.piece(SALES, 0, 2)])
        sales, partners = places(0)
        assert (owned.applied(sales), owned.applied(partners)) == (2, 0)
        first = owned.partition(0)
        assert (await owned.where_to_begin(places(0, 1)))[sales] == 2
        assert owned.partition(0) is first
        await owned.give_up(places(0))
        assert (owned.assigned, [held.number for held in owned.all()]) == (False, [1])
        assert REGISTRY.get_sample_value("rebate_partitions_owned") == 1
        with pytest.raises(Revoked):
            await first.apply(SALES, [process.piece(SALES, 2, 2)])

    asyncio.run(story())


def test_sales_and_partners_must_be_assigned_alike(capfd: pytest.CaptureFixture[str]) -> None:
    process = OneProcess(2)
    uneven = [*places(0, 1, topics=[SALES]), *places(0, topics=[PARTNERS])]
    with pytest.raises(Ended):
        asyncio.run(Owned(process.around).where_to_begin(uneven))
    said = capfd.readouterr().err
    assert said.startswith("worker: sales and partners were assigned unevenly: {'sales': {0, 1}, 'partners': {0}}")
    assert said.endswith("hint: both topics need as many partitions\n")


def test_an_answer_that_a_revocation_has_overtaken_is_empty() -> None:
    process = OneProcess()

    async def story() -> None:
        owned = Owned(process.around)
        first = asyncio.ensure_future(owned.where_to_begin(places(0)))
        await turn()  # it takes the partition
        second = asyncio.ensure_future(owned.where_to_begin(places(0)))
        await turn()  # it waits for the first
        await owned.give_up(places(0))
        assert await second == {}
        await asyncio.wait([first])
        assert owned.all() == []

    asyncio.run(story())


def test_what_is_revoked_is_closed_at_once_though_another_is_being_taken() -> None:
    process = OneProcess(2)

    async def story() -> None:
        owned = Owned(process.around)
        await owned.where_to_begin(places(0))
        held, go_on = owned.partition(0), asyncio.Event()

        class Slow(Lane):
            async def run(self, work: Callable[[], T]) -> T:
                await go_on.wait()
                return work()

        cast(Any, process).lane = lambda _: Slow()
        taking = asyncio.ensure_future(owned.where_to_begin(places(0, 1)))
        await turn()
        giving_up = asyncio.ensure_future(owned.give_up(places(0, 1)))
        for _ in range(5):
            await turn()
        assert not giving_up.done()
        with pytest.raises(Revoked):
            await held.apply_calendar()
        go_on.set()
        await asyncio.wait([taking])
        await giving_up
        assert owned.all() == []

    asyncio.run(story())


@pytest.mark.parametrize("cancelled", [True, False])
def test_taking_that_comes_to_nothing_is_waited_for(cancelled: bool) -> None:
    """What runs on after it was given up would fence whoever takes the partition next."""
    process, finished = OneProcess(), []

    class Slow(Lane):
        async def run(self, work: Callable[[], T]) -> T:
            if cancelled:
                await asyncio.Event().wait()
            raise ValueError("it can't be taken")

        async def finish(self) -> None:
            finished.append(self)

    cast(Any, process).lane = lambda _: Slow()

    async def story() -> None:
        taking = asyncio.ensure_future(HeldPartition.take(0, process.around))
        await turn()
        if cancelled:
            taking.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else ValueError):
            await taking

    asyncio.run(story())
    assert len(finished) == 1


def test_work_that_waits_while_the_partition_is_given_up_is_not_begun() -> None:
    process = OneProcess()
    process.send(SALES, a_sale("A"))

    async def story() -> None:
        held = await HeldPartition.take(0, process.around)
        waiting = asyncio.ensure_future(held.apply(SALES, [process.piece(SALES, 0, 1)]))
        await turn()
        await held.close()
        with pytest.raises(Revoked):
            await waiting
        with pytest.raises(Revoked):
            await held.apply_calendar()
        assert held._partition._producer is None, "its connections are let go"

    asyncio.run(story())
    assert all(position.source != SALES.name for position in process.events(POSITIONS))
