"""Passwords of the vendor's people: which are good enough, and how they are kept."""

from __future__ import annotations

import re
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from deploy.runtime.errors import UsageError

LENGTH_MIN, LENGTH_MAX = 12, 200
_COMMON = (
    "password", "passwort", "passwd", "qwertz", "qwerty", "asdfgh", "yxcvbn", "zxcvbn", "abcdef", "letmein", "welcome",
    "willkommen", "changeme", "default", "secret", "geheim", "admin", "root", "login", "master", "staffel", "rebate",
    "partner", "hallo", "hello", "iloveyou", "dragon", "monkey", "football", "sommer", "summer", "winter",
)  # fmt: skip
_LEFT_MIN = 6
"""So many different characters must stand beside common words, the person's name and digits."""

_hasher = PasswordHasher()  # argon2id with the parameters of RFC 9106 for little memory: 64 MB, 3 passes
_few_at_a_time = threading.BoundedSemaphore(2)
_NOBODYS = _hasher.hash("no password that anybody has")


def check(password: str, name: str) -> None:
    """Raises UsageError for a password that is too short, too long, or among the first that somebody would try."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise UsageError(f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters", "some words in a row are good")
    left = password.casefold()
    for word in sorted((*_COMMON, name.casefold()), key=len, reverse=True):
        left = left.replace(word, "")
    if len(set(re.sub(r"[\d\W_]", "", left))) < _LEFT_MIN:
        raise UsageError(
            "this password is among the first that somebody would try",
            "some words in a row are good, without your name and not mostly digits",
        )


def digest(password: str) -> str:
    """What is kept of a password."""
    with _few_at_a_time:
        return _hasher.hash(password)


def fits(kept: str | None, password: str) -> bool:
    """Whether this is the password. Takes as long if there is none, so that names can't be found by the clock."""
    with _few_at_a_time:
        try:
            return _hasher.verify(kept or _NOBODYS, password[: LENGTH_MAX + 1]) and kept is not None
        except (VerifyMismatchError, InvalidHashError):
            return False
