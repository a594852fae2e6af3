"""Changed code under the tests: a process that has imported all but what depends on the module, forked for each change.

A fork imports the rest, the module itself from the changed syntax tree, and runs the tests until one fails. Slower ones
come later, and what has noticed much so far comes first.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings

MEMORY_MAX = 6 << 30
"""Bytes: a change may make a loop endless that fills a list."""
WALL_SECONDS = 240
"""A change may make something wait for ever."""


class NotGreen(Exception):
    """The tests do not pass without any change."""


class _Changed(importlib.abc.Loader, importlib.abc.MetaPathFinder):
    """Imports one module from a syntax tree."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self._name, self._path, self._tree = name, path, tree

    def find_spec(self, name: str, *_: Any) -> Any:
        return importlib.util.spec_from_file_location(name, self._path, loader=self) if name == self._name else None

    def create_module(self, _: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        exec(compile(self._tree, self._path, "exec"), module.__dict__)


class _Watch:
    """A plugin of pytest: orders the tests, and notes how long they took and which failed."""

    def __init__(self, seconds: dict[str, float], noticed: Counter[str]) -> None:
        self._expected, self._noticed = seconds, noticed
        self.took: Counter[str] = Counter()
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        def cost(item: pytest.Item) -> float:
            return self._expected.get(item.nodeid, 0.0) / (1 + self._noticed[item.nodeid])

        items.sort(key=cost)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.took[report.nodeid] += report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = f"{report.nodeid} could not be imported"


class Trial:
    """A module and the tests that must notice when it is changed. Raises NotGreen if they fail as it is."""

    def __init__(self, path: Path, root: Path, tests: Sequence[str]) -> None:
        self._path, self._root = path, root
        self._name = ".".join(path.relative_to(root).with_suffix("").parts)
        self._tests = list(tests)
        self._seconds: dict[str, float] = {}
        self._noticed: Counter[str] = Counter()
        self._cpu_seconds = 600
        # Known examples and some new ones, always the same; a failure need not be made small.
        hypothesis_settings.register_profile(
            "mutants", database=None, derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate]
        )
        hypothesis_settings.load_profile("mutants")
        self.tree = ast.parse(path.read_bytes())
        self._warm_up()
        self._measure()

    def noticed_by(self) -> str:
        """Run the tests on the tree as it is now. Which one noticed, or why they did not come to an end; "" if none."""
        said, status = self._forked(self._run)
        if said is None:
            if os.WIFSIGNALED(status):
                return f"no end: {signal.Signals(os.WTERMSIG(status)).name}"
            return "the process ended amid a test"
        failed = str(said["failed"])
        self._noticed[failed] += 1
        return failed

    def _warm_up(self) -> None:
        """Import all that the tests import and that does not import the module."""
        names, _ = self._forked(lambda: (self._pytest("--collect-only"), list(sys.modules))[1])
        sys.modules[self._name] = None  # type: ignore[assignment]  # so that an import fails
        for name in names or []:
            if not name.rpartition(".")[2].startswith(("__main__", "conftest", "test_")):
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
        del sys.modules[self._name]

    def _measure(self) -> None:
        said, _ = self._forked(self._run)
        if said is None or said["failed"] or not said["took"]:
            raise NotGreen(f"without any change: {(said and said['failed']) or 'no test ran to its end'}")
        self._seconds = said["took"]
        self._cpu_seconds = 10 + int(2 * sum(self._seconds.values()))

    def _run(self) -> dict[str, Any]:
        sys.meta_path.insert(0, _Changed(self._name, self._path, self.tree))
        watch = _Watch(self._seconds, self._noticed)
        code = self._pytest(plugin=watch)
        if code != pytest.ExitCode.OK and not watch.failed:
            watch.failed = f"pytest ended with {code!r}"
        return {"failed": watch.failed, "took": watch.took}

    def _pytest(self, *more: str, plugin: object = None) -> int:
        quiet = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore", f"--rootdir={self._root}"]
        return pytest.main([*quiet, *more, *self._tests], plugins=[plugin] if plugin else [])

    def _forked(self, work: Callable[[], Any]) -> tuple[Any, int]:
        def limited() -> Any:
            resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_seconds, self._cpu_seconds))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
            signal.alarm(WALL_SECONDS)
            quiet = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(quiet, stream)
            return work()

        return forked(limited)


def forked(work: Callable[[], Any]) -> tuple[Any, int]:
    """What the work returns, done in a process of its own, and how that ended. None if it came to nothing."""
    with tempfile.TemporaryFile() as answer:
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                answer.write(json.dumps(work()).encode())
                answer.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        answer.seek(0)
        said = answer.read()
    return (json.loads(said) if said else None), status
