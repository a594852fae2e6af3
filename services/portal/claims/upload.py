"""Reads a form with files, with a limit on everything: fields, files, bytes and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from services.portal.access import Refused
from services.portal.claims.proofs import FILE_BYTES_MAX, FILES_MAX, Sent

FIELDS_MAX = 20
FIELD_BYTES_MAX = 128 * 1024
BODY_BYTES_MAX = FILES_MAX * FILE_BYTES_MAX + 1024 * 1024
_SECONDS = 600
_PASSED_OVER_MAX = 5 * BODY_BYTES_MAX
"""How much of a form that is too large is still received: a browser shows an answer only if it may send to the end."""


class TooLarge(Exception):
    """More files, or more in them, than a form may have."""


class Form(NamedTuple):
    """A form with files. The files are to be closed."""

    fields: dict[str, str]
    files: dict[str, list[UploadFile]]

    def sent(self, name: str) -> list[Sent]:
        """The files of a field. A browser that was given none sends one without a name."""
        return [Sent(one.filename or "", one.file) for one in self.files.get(name, []) if one.filename]

    async def close(self) -> None:
        """Let the files go."""
        for files in self.files.values():
            for file in files:
                await file.close()


async def read_form_with_files(request: Request) -> Form:
    """Read it. Raises TooLarge, or Refused for what none of our forms sends."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused
    if not request.headers.get("content-length", "0").isdecimal():
        raise Refused
    if int(request.headers.get("content-length", "0")) > _PASSED_OVER_MAX:
        raise TooLarge
    body = _limited(request)
    parser = MultiPartParser(
        request.headers, body, max_files=FILES_MAX + 1, max_fields=FIELDS_MAX, max_part_size=FIELD_BYTES_MAX
    )
    try:
        async with asyncio.timeout(_SECONDS):
            found = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            await _pass_over(body)
            raise TooLarge from None
        raise Refused from None
    except TimeoutError:
        raise Refused from None
    form = Form({}, {})
    for name, value in found.multi_items():
        if isinstance(value, UploadFile):
            form.files.setdefault(name, []).append(value)
        else:
            form.fields[name] = value.replace("\r\n", "\n")
    return form


async def _limited(request: Request) -> AsyncGenerator[bytes, None]:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size <= BODY_BYTES_MAX:
            yield piece
        elif size > _PASSED_OVER_MAX:
            break
    if size > BODY_BYTES_MAX:
        raise TooLarge


async def _pass_over(body: AsyncGenerator[bytes, None]) -> None:
    async for _ in body:
        pass
