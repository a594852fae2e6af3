"""Opens an office within a service's process: an HTTP server in a thread of its own, on a port of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from threading import Lock, Thread
from traceback import extract_tb
from typing import Any

import msgspec
import structlog
import uvicorn
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Port, Settings
from services.kit.listening import listening
from services.kit.office.protocol import (
    BODY_BYTES_MAX,
    WINDOW_SECONDS,
    Actor,
    Answer,
    Arguments,
    Call,
    Operation,
    Refusal,
    Role,
    Seal,
)

_log: structlog.stdlib.BoundLogger = structlog.get_logger("staffel.office")
_SEAL_BYTES = 28
_AT_ONCE = 64
_GOODBYE_SECONDS = 5.0
HELLO = Operation("hello", Arguments, lambda *_: None, staff=Role.VIEWER)
"""Whether the office is open, for whoever looks after the stack."""
_RETRY_LATER = Refusal("busy", "the database is busy; try again in a moment")
_FAILED = Refusal("failed", "it failed; the service's log says where")


class NotOurs(Exception):
    """A call that the portal has not made for this office just now."""


class Counter:
    """Takes calls, asks who acts, has operations done. Knows nothing of HTTP."""

    def __init__(
        self,
        settings: Settings,
        office: str,
        means: Any,
        operations: Iterable[Operation],
        now: Callable[[], float] = time.time,
    ) -> None:
        """``means`` is what the operations work with."""
        self._seal, self._means, self._now = Seal(settings, office), means, now
        self._operations = {operation.name: operation for operation in (HELLO, *operations)}
        self._opened = now()
        self._seen: dict[str, float] = {}
        self._lock = Lock()

    def serve(self, operation: str, sealed: bytes) -> bytes:
        """Answer a call. Raises NotOurs if it is none of the portal's, or not a fresh one."""
        try:
            call = msgspec.json.decode(self._seal.open_call(operation, sealed), type=Call)
        except (ValueError, msgspec.DecodeError):  # a broken seal, or bytes too short for one
            raise NotOurs("sealed under another key, for another operation, or changed") from None
        self._note(call)
        answer = msgspec.json.encode(self._answer(operation, call))
        return self._seal.answer(operation, call.number, answer)

    def _note(self, call: Call) -> None:
        now = self._now()
        if abs(now - call.at) > WINDOW_SECONDS:
            raise NotOurs("too old, or from the future: are both clocks right?")
        if call.at < self._opened:
            raise NotOurs("made before this office was opened")  # what was seen before then is forgotten
        with self._lock:
            self._seen = {number: until for number, until in self._seen.items() if until >= now}
            if call.number in self._seen:
                raise NotOurs("sent before")
            self._seen[call.number] = call.at + WINDOW_SECONDS

    def _answer(self, name: str, call: Call) -> Answer:
        operation = self._operations.get(name)
        if operation is None:
            return Answer(refused=Refusal("unknown-operation", f"this office knows no {name}"))
        if not operation.admits(call.actor.role):
            return Answer(refused=Refusal("not-allowed", f"{name} is not for the role {call.actor.role}"))
        try:
            said = msgspec.json.decode(call.arguments, type=operation.arguments)
        except msgspec.DecodeError:  # its message repeats what was sent
            return Answer(refused=Refusal("bad-arguments", f"{name} was asked with arguments that do not fit"))
        return _done(operation, self._means, call.actor, said)


def _done(operation: Operation, means: Any, actor: Actor, said: Any) -> Answer:
    try:
        return Answer(msgspec.Raw(msgspec.json.encode(operation.do(means, actor, said))))
    except StaffelError as error:
        return Answer(refused=Refusal(error.code, error.message))
    except OperationalError:
        return Answer(refused=_RETRY_LATER)
    except Exception as error:  # noqa: BLE001 - its message may hold what was sent: only its place is told
        place = extract_tb(error.__traceback__)[-1]
        kind, where = type(error).__name__, f"{place.filename}:{place.lineno}"
        _log.error("an office's operation failed", operation=operation.name, kind=kind, place=where)
        return Answer(refused=_FAILED)


class Office(uvicorn.Server):
    """An open office. Answers as long as the process lives; ``close`` ends it."""

    def __init__(self, settings: Settings, port: Port, office: str, counter: Counter) -> None:
        """Raises NotReady if the port is taken."""
        super().__init__(
            uvicorn.Config(
                _application(office, counter),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_AT_ONCE,
                timeout_graceful_shutdown=1,
            )
        )
        self._socket = listening(settings.office_listen, settings.port(port), f"{office}'s office")
        self._thread = Thread(target=self.run, args=([self._socket],), name="office", daemon=True)
        self._thread.start()

    def problem(self) -> str | None:
        """What is wrong, or None."""
        return None if self._thread.is_alive() else "the office for the portal has closed"

    def close(self) -> None:
        """Answer what has been asked, and close."""
        self.should_exit = True
        self._thread.join(_GOODBYE_SECONDS)
        self._socket.close()


def _application(office: str, counter: Counter) -> Starlette:
    async def take(request: Request) -> Response:
        sealed = await _body(request)
        if sealed is None:
            return Response(status_code=413)
        try:
            answer = await run_in_threadpool(counter.serve, request.path_params["operation"], sealed)
        except NotOurs as error:
            _log.warning("a call to the office was refused", operation="unknown", reason=str(error))
            return Response(status_code=403)
        return Response(answer, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    return Starlette(routes=[Route(f"/{office}/{{operation}}", take, methods=["POST"])])


async def _body(request: Request) -> bytes | None:
    """What was sent, or None if it is more than any call of ours."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES_MAX + _SEAL_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)
