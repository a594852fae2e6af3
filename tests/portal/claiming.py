"""What tests of claims do: forms with files, proofs as they come in, and somebody of the staff who may decide."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image
from pypdf import PdfWriter
from sqlalchemy import Engine, select
from starlette.testclient import TestClient

from services.portal.auth import Role
from services.portal.claims.tables import claims
from services.portal.tables import outbox
from tests.portal.conftest import Site, mark_in

SALE = {
    "product_id": "TS-200",
    "sold_on": "2026-11-10",
    "quantity": "2",
    "sale_id": "INV-77",
    "serial_numbers": "MP7001\nMP7002",
    "note": "Sold from stock.",
}


def pdf(pages: int = 1, **writer_does: Any) -> bytes:
    """A PDF of empty pages. ``writer_does`` are methods of the writer with their arguments."""
    writer, file = PdfWriter(), io.BytesIO()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    for name, arguments in writer_does.items():
        getattr(writer, name)(*arguments)
    writer.write(file)
    return file.getvalue()


def picture(form: str = "PNG", size: tuple[int, int] = (8, 8)) -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new("1" if form == "PNG" else "L", size).save(file, form)
    return file.getvalue()


def claim(
    browser: TestClient, *files: tuple[str, bytes], sheet: bytes | None = None, mark: str = "", **fields: str
) -> Any:
    """Fill the form in and send it; with a sheet, that of many sales."""
    sent: list[tuple[str, tuple[str, bytes]]] = [("proof", (name, content)) for name, content in files]
    form = SALE | fields
    if sheet is not None:
        sent.append(("sheet", ("sales.csv", sheet)))
        form = {"kind": "file"}
    form["mark"] = mark or mark_in(browser.get("/claims/new").text)
    return browser.post("/claims", data=form, files=sent or [("proof", ("", b""))])


def made(engine: Engine) -> list[Any]:
    """All claims, in the order of their sales."""
    with engine.connect() as connection:
        return list(connection.execute(select(claims).order_by(claims.c.partner_id, claims.c.sale_id)))


def told(engine: Engine) -> list[tuple[str, str]]:
    """What waits to be published."""
    with engine.connect() as connection:
        query = select(outbox.c.topic, outbox.c.event).where(outbox.c.topic != "preferences").order_by(outbox.c.id)
        return [(row.topic, row.event) for row in connection.execute(query)]


def staff(site: Site, person: str = "anna", role: Role = Role.OPERATOR) -> TestClient:
    """A browser of somebody of the staff who may decide."""
    return site.staff(role, person)


def decide(browser: TestClient, claim_id: str, what: str, **fields: str) -> Any:
    """Open a claim, and press one of its buttons."""
    page = browser.get(f"/claims/desk/{claim_id}").text
    version = page.split('name="version" value="')[1].split('"')[0]
    form = {"mark": mark_in(page), "version": version, "what": what} | fields
    return browser.post(f"/claims/desk/{claim_id}", data=form)
