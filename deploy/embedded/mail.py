"""The mail catcher: takes every mail by SMTP, keeps it as a file, shows it in an inbox page. Sends nothing on.

python -m deploy.embedded.mail
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.runtime import logs
from deploy.runtime.errors import StaffelError
from deploy.runtime.settings import Port, Settings, load


def folder(settings: Settings) -> Path:
    """Where the mails are: one .eml file each, names sort by arrival."""
    return settings.data / "mail"


def keep(mails: Path, content: bytes) -> Path:
    """Write a mail so that it is whole or not there, and on the disk before the sender hears "250"."""
    path = mails / f"{time.time_ns():020d}-{secrets.token_hex(4)}.eml"
    draft = path.with_suffix(".tmp")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return path


class Catcher:
    """What aiosmtpd calls for each mail."""

    def __init__(self, mails: Path) -> None:
        self._mails = mails

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        await asyncio.to_thread(keep, self._mails, content)
        return "250 kept"


async def serve(settings: Settings) -> None:
    """Listen for mails and show them, until cancelled or told to stop."""
    import uvicorn

    from deploy.embedded.inbox import application

    mails = folder(settings)
    mails.mkdir(parents=True, exist_ok=True)
    for half in mails.glob("*.tmp"):  # its sender was never told "250", and sends it again
        half.unlink()
    loop = asyncio.get_running_loop()
    catcher = Catcher(mails)

    def smtp() -> Any:
        return SMTP(catcher, hostname="staffel", ident="Staffel mail catcher", enable_SMTPUTF8=True)

    listener = await loop.create_server(smtp, settings.listen, settings.port(Port.SMTP))
    page = uvicorn.Server(
        uvicorn.Config(
            application(settings, mails),
            host=settings.listen,
            port=settings.port(Port.INBOX),
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    async with listener:
        await page.serve()  # it handles SIGTERM and Ctrl-C


def main() -> None:
    """Run until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # before uvicorn has its own
    try:
        settings = load().settings
        logs.configure(settings, "mail")
        asyncio.run(serve(settings))
    except KeyboardInterrupt:
        pass
    except StaffelError as error:
        print(f"mail: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
