"""Structured logs on stderr, one JSON object a line, with what is personal taken out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from deploy.runtime.settings import Settings

_PRIVATE_KEYS = {"name", "email", "to", "iban", "account_holder", "token", "link", "password", "secret"}
_PRIVATE_TEXT = re.compile(
    r"[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}[ ]?[A-Z0-9]{0,4}"  # an IBAN
    r"|[\w.+-]+@[\w-]+\.[\w.-]+"  # a mail address
    r"|(?<=/l/)[\w.~-]+"  # the token of a personal link
)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Processor: nobody's name, address, account or link gets into a log, whoever put it there."""
    for key, value in event.items():
        if key in _PRIVATE_KEYS:
            event[key] = "[private]"
        elif isinstance(value, str):
            event[key] = _PRIVATE_TEXT.sub("[private]", value)
    return event


def configure(settings: Settings, process: str) -> structlog.stdlib.BoundLogger:
    """Set up logging for this process, ours and the libraries', and return its logger."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if settings.log_format == "text"
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared[:-1], structlog.stdlib.PositionalArgumentsFormatter(), redact],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)  # the libraries' chatter; ours is set below
    for ours in ("staffel", "streams", "services", "deploy"):
        logging.getLogger(ours).setLevel(settings.log_level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    log: structlog.stdlib.BoundLogger = structlog.get_logger(f"staffel.{process}")
    return log
