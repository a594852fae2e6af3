"""Errors that a user can do something about, and the one table of exit codes."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's exit code means. Printed by ``staffel --help``."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_READY = 4
    DIFFERS = 5
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        return _MEANING[self]


_MEANING = {
    Exit.OK: "all done",
    Exit.FAILED: "failed; the message says why",
    Exit.USAGE: "the command line or a setting is wrong; nothing was done",
    Exit.REFUSED: "done, but rows or records were refused",
    Exit.NOT_READY: "something that is needed is not running, not reachable or not ready",
    Exit.DIFFERS: "a check found differences",
    Exit.INTERRUPTED: "stopped by Ctrl-C",
}


class StaffelError(Exception):
    """A failure with its cause and, where there is one, the way out. Shown without a traceback."""

    def __init__(self, message: str, hint: str = "", exit_code: Exit = Exit.FAILED, code: str = "failed") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.code = code


class UsageError(StaffelError):
    """The caller asked for something that can't be."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, Exit.USAGE, "usage")


class NotReady(StaffelError):
    """A part that is needed does not answer."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, Exit.NOT_READY, "not-ready")
