"""Calls commands as the launcher does, with the settings in the environment."""

from __future__ import annotations

import contextlib
import io
import json
import os
from typing import Any, NamedTuple
from unittest import mock

from deploy.cli.main import run
from deploy.embedded.stack import environment
from deploy.runtime.settings import Loaded


class Result(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """The JSON object in its last line."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def call(loaded: Loaded, *arguments: str) -> Result:
    """Run a command on this stack."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment(loaded), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run(list(arguments))
    return Result(int(code), out.getvalue(), err.getvalue())


def succeed(loaded: Loaded, *arguments: str) -> dict[str, Any]:
    """Run a command with ``--json``, demand that it succeeds, answer its object."""
    found = call(loaded, *arguments, "--json")
    assert found.code == 0, found
    return found.object
