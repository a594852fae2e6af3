"""A portal that was set up to be tried out is not shown to others by mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.cli.doctor import FAIL, PASS, WARN, _exposure
from deploy.runtime.errors import UsageError
from deploy.runtime.settings import load
from services.portal.exposure import SECRETS, check_exposure

GIVEN = dict.fromkeys(SECRETS, "x" * 43)
HTTPS = {"public_url": "https://portal.example"}


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ({}, PASS),
        ({"listen": "::1"}, PASS),
        ({"listen": "localhost"}, PASS),
        ({"public_url": "http://portal.example"}, WARN),
        ({"listen": "0.0.0.0"}, FAIL),
        ({"listen": "192.0.2.1"}, FAIL),
        ({"listen": "0.0.0.0", **GIVEN, "link_secret": ""}, FAIL),
        ({"listen": "0.0.0.0", **GIVEN}, PASS),
        ({"listen": "0.0.0.0", **HTTPS}, WARN),
        ({"listen": "0.0.0.0", **HTTPS, **GIVEN}, PASS),
        ({"listen": "0.0.0.0", "portal_allow_insecure": True}, WARN),
    ],
)
def test_what_can_be_reached_is_encrypted_or_has_secrets_that_were_given(
    tmp_path: Path, flags: dict[str, Any], level: str
) -> None:
    loaded = load({"data": tmp_path} | flags, {})
    if level == FAIL:
        with pytest.raises(UsageError, match="seen from outside"):
            check_exposure(loaded.settings)
    else:
        check_exposure(loaded.settings)
    assert _exposure(loaded.settings).level == level
