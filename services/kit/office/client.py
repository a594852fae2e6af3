"""Asks an office. Blocks: call it from a thread."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import httpx2
import msgspec
import structlog

from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Settings
from services.kit.office.protocol import Actor, Answer, Call, Refusal, Seal

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.office")
T = TypeVar("T")
_CONNECT_SECONDS, _ANSWER_SECONDS, _PATIENT_SECONDS = 1.0, 5.0, 60.0


class Away(StaffelError):
    """An office does not answer. ``may_be_done`` says that it had got the call, and may have done what it asks."""

    def __init__(self, office: str, may_be_done: bool = False) -> None:
        super().__init__(f"{office} does not answer", "is it running? see ./staffel status", code="away")
        self.office, self.may_be_done = office, may_be_done


class Refused(StaffelError):
    """An office does not do what it was asked, and says why: a code for programs, a sentence for people."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message, code=refusal.code)


@cache
def _trusted() -> ssl.SSLContext:
    """Whom this machine trusts to vouch for an office. Read once: it takes twenty milliseconds."""
    return httpx2.create_ssl_context(trust_env=False)


class Client:
    """Asks one office, on behalf of whoever acts."""

    def __init__(self, settings: Settings, office: str, address: str, now: Callable[[], float] = time.time) -> None:
        self.office, self._seal, self._now = office, Seal(settings, office), now
        self._http = httpx2.Client(
            base_url=address,
            trust_env=False,  # no proxy stands between us
            verify=_trusted(),
            timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
        )

    def ask(self, actor: Actor, operation: str, kind: type[T], *, patiently: bool = False, **arguments: Any) -> T:
        """Have an operation done; its result is read as ``kind``. ``patiently``: it may take a minute.

        Raises Away if there is no answer, Refused if the office says no.
        """
        number = secrets.token_urlsafe(18)
        call = Call(self._now(), number, actor, msgspec.Raw(msgspec.json.encode(arguments)))
        sealed = self._send(operation, self._seal.call(operation, msgspec.json.encode(call)), patiently)
        try:
            answer = msgspec.json.decode(self._seal.open_answer(operation, number, sealed), type=Answer)
        except ValueError:  # also of bytes that are too short for a seal
            _log.error("what answers in an office's place is not the office", office=self.office)
            raise Away(self.office) from None
        if answer.refused is not None:
            raise Refused(answer.refused)
        return msgspec.json.decode(answer.result, type=kind)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def _send(self, operation: str, body: bytes, patiently: bool) -> bytes:
        timeout = httpx2.Timeout(_PATIENT_SECONDS if patiently else _ANSWER_SECONDS, connect=_CONNECT_SECONDS)
        try:
            answer = self._http.post(f"/{self.office}/{operation}", content=body, timeout=timeout)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise Away(self.office) from None
        except httpx2.HTTPError as error:
            _log.warning("an office did not answer in time", office=self.office, reason=type(error).__name__)
            raise Away(self.office, may_be_done=True) from None
        if answer.status_code != 200:
            _log.error(
                "an office refuses the portal: has it the same office_secret, and are both clocks right?",
                office=self.office,
                status=answer.status_code,
            )
            raise Away(self.office)
        return answer.content
