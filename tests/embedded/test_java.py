"""A Java that will not do is named before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.embedded import java
from deploy.runtime.errors import Exit, NotReady


def fake_java(folder: Path, version: str) -> Path:
    """A program that calls itself a Java of this version."""
    path = folder / "java"
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-01' >&2\n")
    path.chmod(0o755)
    return path


def test_the_one_that_ships_is_used_and_new_enough() -> None:
    assert java.find().major >= java.OLDEST


@pytest.mark.parametrize(("version", "major"), [("17.0.12", 17), ("1.8.0_402", 1)])
def test_an_old_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, major: int) -> None:
    monkeypatch.setenv("STAFFEL_JAVA", str(fake_java(tmp_path, version)))
    with pytest.raises(NotReady, match=f"a Java {major}; 21 is needed") as refused:
        java.find()
    assert "unset it" in refused.value.hint
    assert refused.value.exit_code is Exit.NOT_READY


def test_a_missing_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFFEL_JAVA", "/nowhere/java")
    with pytest.raises(NotReady, match="no Java that runs"):
        java.find()


def test_a_java_home_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    fake_java(tmp_path / "bin", "21.0.4")
    monkeypatch.setenv("STAFFEL_JAVA", str(tmp_path))
    found = java.find()
    assert found.major == 21
    assert not any("sun-misc" in flag for flag in found.command(64, [], [])), "a Java 21 does not know that flag"
