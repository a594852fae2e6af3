"""The launcher, with Pythons that only say what they were asked for."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.runtime.settings import ROOT

PYTHON = """#!/bin/sh
# Notes its calls; makes environments that hold a copy of itself.
echo "$@" >>"$CALLS"
case "$*" in
  "-c "*) exit "${PYTHON_IS_OLD:-0}" ;;
  "-m venv --clear "*) rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; : >"$4/pyvenv.cfg" ;;
  "-m pip --version") exit 0 ;;
  "-m pip install"*) echo 'no such host' >&2; exit "${PIP_FAILS:-0}" ;;
  "-P -m deploy.cli"*) shift 3; echo "in $PWD: $*"; echo "path $PYTHONPATH" ;;
esac
"""


class Tree:
    """A copy of the launcher with locks of its own and a fake python3.12."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self.root.mkdir()
        self.calls = folder / "calls"
        self.calls.touch()
        self.bin = folder / "bin"
        self.bin.mkdir()
        shutil.copy(ROOT / "staffel", self.root / "staffel")
        (self.root / "requirements.lock").write_text("one==1\n")
        (self.root / "requirements-dev.lock").write_text("two==2\n")
        python = self.bin / "python3.12"
        python.write_text(PYTHON)
        python.chmod(0o755)
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        for tool in ("sh", "dirname", "cksum", "cat", "rm", "mkdir", "cp", "tail", "id", "ls", "flock"):
            found = shutil.which(tool)
            assert found
            (self.bin / tool).symlink_to(found)

    def start(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it from another folder."""
        return subprocess.run(
            [self.root / "staffel", *arguments],
            cwd=self.elsewhere,
            env={"PATH": str(self.bin), "CALLS": str(self.calls), **environment},
            capture_output=True,
            text=True,
        )

    def installs(self) -> list[str]:
        """The calls of pip install so far."""
        return [line for line in self.calls.read_text().splitlines() if "pip install" in line]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_first_start_installs_by_hash_and_later_ones_do_not(tree: Tree) -> None:
    first = tree.start("sales", "import", "report.csv")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == [
        f"in {tree.elsewhere}: sales import report.csv",
        f"path {tree.root}",
    ]
    assert "installing" in first.stderr
    assert "--require-hashes" in tree.installs()[0]
    second = tree.start("status")
    assert second.stderr == ""
    assert len(tree.installs()) == 1


def test_changed_lock_is_installed(tree: Tree) -> None:
    tree.start()
    (tree.root / "requirements.lock").write_text("one==2\n")
    tree.start()
    assert len(tree.installs()) == 2


def test_interrupted_installation_begins_anew(tree: Tree) -> None:
    failed = tree.start("status", PIP_FAILS="1")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "run the same command again" in failed.stderr
    half_installed = tree.root / ".venv" / "half"
    half_installed.touch()
    assert tree.start("status").returncode == 0
    assert not half_installed.exists()


def test_environment_may_live_elsewhere(tree: Tree, tmp_path: Path) -> None:
    assert tree.start(STAFFEL_VENV=str(tmp_path / "venv")).returncode == 0
    assert not (tree.root / ".venv").exists()


def test_folder_that_holds_something_else_is_not_cleared(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "thesis.txt").touch()
    refused = tree.start(STAFFEL_VENV=str(tmp_path / "venv"))
    assert refused.returncode == 2
    assert "not empty" in refused.stderr
    assert (tmp_path / "venv" / "thesis.txt").exists()


def test_two_first_starts_at_once_install_once(tree: Tree) -> None:
    with ThreadPoolExecutor(2) as pool:
        started = [pool.submit(tree.start, "status") for _ in range(2)]
        assert [start.result().returncode for start in started] == [0, 0]
    assert len(tree.installs()) == 1


def test_without_a_new_enough_python_a_sentence_says_which(tree: Tree) -> None:
    refused = tree.start(PYTHON_IS_OLD="1")
    assert refused.returncode == 4
    assert "Python 3.11, 3.12 or 3.13 is needed" in refused.stderr
    assert "hint: " in refused.stderr


def test_tests_without_chromium_name_what_to_install(tree: Tree) -> None:
    (tree.bin / "id").unlink()
    (tree.bin / "id").write_text("#!/bin/sh\necho 1000\n")
    (tree.bin / "id").chmod(0o755)
    refused = tree.start("test")
    assert refused.returncode == 4
    assert "apt-get install chromium" in refused.stderr


def test_tests_with_arguments_run_these_alone(tree: Tree) -> None:
    (tree.bin / "chromium").symlink_to("/bin/true")
    assert tree.start("test", "tests/rules").returncode == 0
    assert len(tree.installs()) == 2
    assert tree.calls.read_text().splitlines()[-1] == "-m pytest tests/rules"
