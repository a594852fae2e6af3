"""The inbox page of the mail catcher: a list, a mail, its raw file, and the list as JSON. Works without JavaScript."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterable
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from deploy.runtime.settings import Settings

_PAGES = Path(__file__).with_name("inbox_pages")
_PAGE_SIZE = 100
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# A mail's HTML is a stranger's: nothing in it runs or is loaded; its links open in a new tab.
_SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
_SECURITY_MAIL = {
    **_SECURITY,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    f"frame-ancestors 'self'; sandbox {_SANDBOX}",
}


class Summary(NamedTuple):
    """A line of the list."""

    id: str
    to: str
    subject: str
    date: str
    message_id: str
    path: str


class Mailbox:
    """The folder of mails. What was read of a mail once is kept: its file never changes."""

    def __init__(self, mails: Path) -> None:
        self._mails = mails
        self._summaries: dict[str, Summary] = {}

    def list(self, to: str = "") -> list[Summary]:
        """The mails, newest first; ``to`` is a part of the recipient's address."""
        names = sorted((path.name for path in self._mails.glob("*.eml")), reverse=True)
        found = [self._summary(name) for name in names]
        return [summary for summary in found if to.lower() in summary.to.lower()]

    def open(self, mail_id: str) -> tuple[Path, EmailMessage]:
        """One mail. Raises HTTPException 404."""
        path = self._mails / f"{mail_id}.eml"
        if not re.fullmatch(r"[\w-]+", mail_id) or not path.is_file():
            raise HTTPException(404)
        return path, _parse(path.read_bytes())

    def _summary(self, name: str) -> Summary:
        if name not in self._summaries:
            path = self._mails / name
            with path.open("rb") as file:
                message = _parse(_head(file))
            self._summaries[name] = Summary(
                id=path.stem,
                to=str(message.get("To", "")),
                subject=str(message.get("Subject", "")) or "(no subject)",
                date=_instant(message),
                message_id=str(message.get("Message-ID", "")).strip(),
                path=str(path),
            )
        return self._summaries[name]


def application(settings: Settings, mails: Path) -> Starlette:
    """The inbox as an ASGI application."""
    mailbox = Mailbox(mails)
    pages = Environment(loader=FileSystemLoader(_PAGES), autoescape=select_autoescape(), trim_blocks=True)

    def show(template: str, status: int = 200, **values: Any) -> Response:
        text = pages.get_template(template).render(data=settings.data.name, **values)
        return HTMLResponse(text, status, _SECURITY)

    def index(request: Request) -> Response:
        to, page = request.query_params.get("to", ""), request.query_params.get("page", "1")
        number = int(page) if page.isdecimal() and len(page) < 9 else 1
        found = mailbox.list(to)
        first = max(0, number - 1) * _PAGE_SIZE
        return show(
            "index.html",
            mails=found[first : first + _PAGE_SIZE],
            total=len(found),
            to=to,
            newer=number - 1,
            older=number + 1 if first + _PAGE_SIZE < len(found) else 0,
        )

    def one(request: Request) -> Response:
        path, message = mailbox.open(request.path_params["mail_id"])
        html, text = message.get_body(("html",)), message.get_body(("plain",))
        attachments = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
        return show(
            "mail.html",
            id=path.stem,
            message=message,
            when=_instant(message),
            html=html is not None,
            text=_content(text),
            attachments=attachments,
            headers=[(name, str(value)) for name, value in message.items()],
            sandbox=_SANDBOX,
        )

    def body(request: Request) -> Response:
        _, message = mailbox.open(request.path_params["mail_id"])
        html = message.get_body(("html",))
        if html is None:
            raise HTTPException(404)
        content, replaced = re.subn(r"(<head[^>]*>)", r'\1<base target="_blank">', _content(html), count=1)
        return HTMLResponse(content if replaced else f'<base target="_blank">{content}', headers=_SECURITY_MAIL)

    def raw(request: Request) -> Response:
        path, _ = mailbox.open(request.path_params["mail_id"])
        return FileResponse(path, media_type="message/rfc822", filename=path.name, headers=_SECURITY)

    def api(request: Request) -> Response:
        found = mailbox.list(request.query_params.get("to", ""))
        return JSONResponse([summary._asdict() for summary in found], headers=_SECURITY)

    def missing(_request: Request, _error: Exception) -> Response:
        return show("missing.html", 404)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/mail/{mail_id}", one),
            Route("/mail/{mail_id}/html", body),
            Route("/mail/{mail_id}/raw", raw),
            Route("/api/mails", api),
            Route("/healthz", lambda _request: PlainTextResponse("ok")),
            Route("/inbox.css", lambda _request: FileResponse(_PAGES / "inbox.css", headers=_SECURITY)),
        ],
        exception_handlers={404: missing},
    )


def _head(lines: Iterable[bytes]) -> bytes:
    head = b""
    for line in lines:
        head += line
        if line in (b"\r\n", b"\n"):
            break
    return head


def _parse(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _content(part: Any) -> str:
    return str(part.get_content()) if part is not None else ""


def _instant(message: EmailMessage) -> str:
    date: datetime | None = getattr(message.get("Date"), "datetime", None)
    return date.isoformat() if date else ""
