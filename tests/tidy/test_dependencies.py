"""What is installed: pinned, hashed, and from wherever pip is told, for no file names a registry."""

from __future__ import annotations

import re
import tomllib

import pytest

from deploy.runtime.settings import ROOT
from tests.tidy.tree import texts

# Put together here, so that this file names none either.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
        ("deb", "debian", "org"),
        ("hub", "docker", "com"),
    )
]
PROJECT = tomllib.loads(texts()["pyproject.toml"])
DIRECT = {
    "requirements.lock": PROJECT["project"]["dependencies"],
    "requirements-dev.lock": PROJECT["dependency-groups"]["dev"],
}
each_lock = pytest.mark.parametrize("lock", DIRECT)


def requirements(lock: str) -> list[str]:
    """The requirements of a lock, each with its hashes, on one line."""
    text = (ROOT / lock).read_text("utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


def pins(lock: str) -> dict[str, str]:
    """Name and version of each requirement of a lock."""
    found = (re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in requirements(lock))
    return {_normal(match[1]): match[2] for match in found if match}


@each_lock
def test_every_requirement_is_pinned_and_carries_hashes(lock: str) -> None:
    for line in requirements(lock):
        assert re.match(r"[A-Za-z0-9._-]+==[^\s;]+( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+ *$", line), line[:80]


@each_lock
def test_direct_dependencies_are_pinned_to_what_the_lock_holds(lock: str) -> None:
    locked = pins(lock)
    for dependency in DIRECT[lock]:
        name, version = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", dependency).groups()  # type: ignore[union-attr]
        assert locked[_normal(name)] == version


def test_the_two_locks_agree() -> None:
    run, test = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name: (run[name], test[name]) for name in run.keys() & test if run[name] != test[name]} == {}


def test_every_dependency_says_its_licence() -> None:
    text = texts()["pyproject.toml"]
    block = text[text.index("dependencies = [") : text.index("[tool.ruff]")]
    lines = [line for line in block.splitlines() if line.startswith('  "')]
    assert len(lines) > 30
    assert [line for line in lines if "#" not in line] == []


@pytest.mark.parametrize("host", HOSTS)
def test_no_file_names_a_package_registry(host: str) -> None:
    assert [name for name, text in texts().items() if host in text] == []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
