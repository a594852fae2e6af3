"""What the partners' guide says is so: its example verifies, its types and times are ours."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from deploy.runtime.settings import ROOT
from services.notification.webhooks.payloads import PING, TYPES, payload_of
from services.notification.webhooks.signing import headers, new_secret
from tests.notification.facts import bank_details, close, payout, tier, week

GUIDE = (ROOT / "deploy" / "docs" / "webhooks.md").read_text("utf-8")
BODY = b'{"type":"ping","data":{}}'


@pytest.fixture
def verify() -> Any:
    """The example's function."""
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    names: dict[str, Any] = {}
    exec(example, names)
    return names["verify"]


def test_the_example_accepts_what_we_sign_with_either_secret(verify: Any) -> None:
    old, new = new_secret(), new_secret()
    signed = headers([new, old], "msg_1", int(time.time()), BODY)
    for secret in (old, new):
        assert verify(secret, signed, BODY)["type"] == "ping"


def test_the_example_refuses_another_body_id_secret_or_time(verify: Any) -> None:
    secret, now = new_secret(), int(time.time())
    signed = headers([secret], "msg_1", now, BODY)
    stale = headers([secret], "msg_1", now - 301, BODY)
    for given in (
        (secret, signed, BODY + b" "),
        (secret, signed | {"webhook-id": "msg_2"}, BODY),
        (new_secret(), signed, BODY),
        (secret, stale, BODY),
        (secret, signed | {"webhook-signature": "v1,é v2,x"}, BODY),
    ):
        with pytest.raises(ValueError, match=r"too old|not signed"):
            verify(*given)


def test_the_types_and_their_fields_are_those_that_are_sent() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \|[^|]*\|([^|]*)\|$", GUIDE, re.M))
    assert set(rows) == {*TYPES, PING}
    for event in (tier(), week(), close(), payout(), bank_details()):
        payload = payload_of(event)
        assert payload is not None
        for field in re.findall(r"`([a-z_]+)`", re.sub(r"\(.*?\)", "", rows[payload.type])):
            assert f'"{field}":' in payload.body, field
