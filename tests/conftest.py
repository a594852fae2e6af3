"""What many tests need: a real stack, started once a session, and settings of one's own on it.

``kafka_stack`` runs a broker, a registry and a mail catcher. ``loaded`` (and ``settings``, its values) is the view of
one test on them: its own topics, already created, its own data folder, its own ports for processes that it may start.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.ports import is_free
from deploy.embedded.stack import PARTS, Stack
from deploy.runtime.settings import Loaded, Port, Settings, load
from services.intake import topics

_numbers = itertools.count(1)
_LONG = (
    "tests/story/",
    "tests/chaos/",
    "tests/demo/test_demo.py",
    "tests/simulation/test_simulation.py",
    "tests/embedded/test_stack.py",
    "tests/rebuild/",
    "tests/streams/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take long come first: of several processes that share the tests, none is left alone with one."""
    items.sort(key=lambda item: next((n for n, path in enumerate(_LONG) if item.nodeid.startswith(path)), len(_LONG)))


def _port_bases(each: int = 20) -> Iterator[int]:
    """Below the range that outgoing connections take their ports from: this process's share, if it is one of several
    that share the tests. Another session of tests begins elsewhere in it.
    """
    name = os.environ.get("PYTEST_XDIST_WORKER")
    session = os.getppid() if name else os.getpid()
    number, of = int(name.removeprefix("gw")) if name else 0, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = (32_000 - 10_000) // of // each
    begin = session * 37 % share
    for slot in itertools.count(begin):
        yield 10_000 + (number * share + slot % share) * each


_bases = _port_bases()


def free_ports() -> int:
    """A port base that no other test uses."""
    return next(base for base in _bases if all(is_free(base + port) for port in Port))


@pytest.fixture(scope="session")
def kafka_stack() -> Iterator[Settings]:
    """A broker, a registry and a mail catcher, for all tests of the session."""
    folder = Path(tempfile.mkdtemp(prefix="staffel-tests-"))
    with Stack(load({"data": folder, "port_base": free_ports()}, {}), services=(), create_topics=False) as stack:
        stack.wait_ready()
        yield stack.settings
    shutil.rmtree(folder)


def settings_on(stack: Settings, folder: Path, **said: Any) -> Loaded:
    """Settings on this stack with topics of one's own, which exist. For fixtures that last longer than a test."""
    shared = {name: getattr(stack, name) for name in PARTS.values()}
    own = {
        "data": folder / "data",
        "port_base": free_ports(),
        "topic_prefix": f"t{os.getpid()}.{next(_numbers)}.",
        "partitions": 2,
    }
    found = load(shared | own | said, {})
    topics.create(found.settings)
    return found


@pytest.fixture
def loaded(kafka_stack: Settings, tmp_path: Path) -> Loaded:
    """Settings with topics of one's own, which exist."""
    return settings_on(kafka_stack, tmp_path)


@pytest.fixture
def settings(loaded: Loaded) -> Settings:
    """The same, without where each value came from."""
    return loaded.settings
