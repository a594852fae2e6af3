"""A partner's claims: which there are, new ones, an answer to a question, and taking one back.

A link is enough for all of it: a claim moves no money, the vendor's staff decides about it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from deploy.runtime.errors import UsageError
from services.kit.csvfile import Refusal, Refused, Sheet
from services.kit.database import reading
from services.portal.access import Asked, Needs, Row, check_mark
from services.portal.claims import lists
from services.portal.claims.known import Known, line_of
from services.portal.claims.making import Made, TooMuch, answer, make, own, withdraw
from services.portal.claims.proofs import FILES_MAX, NoProof, Proof, Sent
from services.portal.claims.reading import COLUMNS, FILE_ROWS_MAX, Claimed, free_text, from_form, row_reader
from services.portal.claims.upload import Form, TooLarge, read_form_with_files
from services.portal.live import Fragments
from services.portal.queries import PartnerRows, snapshot
from services.portal.routes.live import follow
from services.portal.routes.partner import voice_of
from services.portal.views import NotHere
from services.portal.voice import Voice

_REFUSALS_SHOWN = 20


class Trouble(NamedTuple):
    """Why a form was not taken, for the page that shows it again."""

    fields: Mapping[str, str] = {}
    """Of each field that is wrong the code of why."""
    file: NoProof | None = None
    known: Sequence[Known] = ()
    rows: Sequence[Refusal] = ()
    sheet: str = ""


async def show_claims(asked: Asked) -> Response:
    """The partner's claims, the latest first."""
    page = page_of(asked)

    def render() -> str:
        with snapshot(asked.portal.engine) as connection:
            some = lists.of_partner(connection, asked.visitor.partner_id, page)
            sent = lists.report(connection, asked.visitor.partner_id, asked.request.query_params.get("report", ""))
            voice = _voice(asked, connection)
        return asked.page("claims/list.html", voice, some=some, sent=sent)

    return HTMLResponse(await run_in_threadpool(render))


async def show_form(asked: Asked) -> Response:
    """The form for a sale that is missing, and that for a file of many."""
    return HTMLResponse(await run_in_threadpool(_form_page, asked, {}, Trouble()))


async def claim(asked: Asked) -> Response:
    """Take a form or a file in."""
    return await _with_files(asked, _take, lambda: f"{asked.request.url.path}/new")


async def show_claim(asked: Asked) -> Response:
    """One claim, and what became of it."""
    return HTMLResponse(await run_in_threadpool(_claim_page, asked, Trouble(), {}))


async def follow_claim(asked: Asked) -> Response:
    """What changes on it, as it happens."""

    async def render(_: object) -> Fragments:
        return await asked.portal.changes.apart(lambda: _facts(asked)[2])

    await run_in_threadpool(_facts, asked)  # raises NotHere before the stream begins
    return follow(asked, asked.visitor.partner_id, render, rest=0.25)


async def answer_question(asked: Asked) -> Response:
    """Take in what the partner says to the vendor's question."""
    return await _with_files(asked, _take_answer, lambda: asked.request.url.path.removesuffix("/answer"))


async def withdraw_claim(asked: Asked) -> Response:
    """Take a claim back. If it was decided meanwhile, the page says so."""
    claim_id = asked.request.path_params["claim_id"]

    def act() -> None:
        _facts(asked)
        who, now = asked.visitor, asked.portal.clock.now()
        withdraw(asked.portal.engine, who.partner_id, claim_id, now, who.person)

    await run_in_threadpool(act)
    return RedirectResponse(f"/claims/{claim_id}", 303)


def page_of(asked: Asked) -> int:
    """The page of a list that the address asks for. Raises NotHere for what no page of ours links to."""
    text = asked.request.query_params.get("page") or "1"
    if not (text.isascii() and text.isdecimal() and int(text[:9]) > 0 and len(text) < 10):
        raise NotHere
    return int(text)


async def _with_files(asked: Asked, take: Callable[[Asked, Form], Response], back: Callable[[], str]) -> Response:
    """Read a form with files, check its mark, and have it taken in."""
    try:
        form = await read_form_with_files(asked.request)
    except TooLarge:
        return RedirectResponse(f"{back()}?wrong=too-large", 303)
    try:
        check_mark(asked.portal, asked.request, asked.visitor.session_id, form.fields.get("mark", ""))
        return await run_in_threadpool(take, asked, form)
    finally:
        await form.close()


def _take(asked: Asked, form: Form) -> Response:
    """Make claims of a form. Shows it again with what is wrong, or leads to the list."""
    portal, partner_id = asked.portal, asked.visitor.partner_id
    try:
        claimed = _from_sheet(asked, form) if form.fields.get("kind") == "file" else _from_fields(asked, form)
        if isinstance(claimed, Trouble):
            return _again(asked, form, claimed)
        proofs = _proofs(asked, form)
    except NoProof as refused:
        return _again(asked, form, Trouble(file=refused))
    made: Made | None = None
    try:
        made = make(portal.engine, partner_id, claimed, proofs, portal.clock.now(), asked.visitor.person)
    except TooMuch:
        return _again(asked, form, Trouble(sheet="too-much"))
    finally:
        if made is None or not made.claim_ids:
            portal.proofs.drop(proofs)
    if not made.claim_ids:
        return _again(asked, form, Trouble(known=made.known))
    portal.changes.publish([partner_id])
    return RedirectResponse(f"/claims?report={made.report_id}", 303)


def _take_answer(asked: Asked, form: Form) -> Response:
    portal, claim_id = asked.portal, asked.request.path_params["claim_id"]
    _facts(asked)  # raises NotHere
    proofs: list[Proof] = []
    done = False
    try:
        text = free_text(form.fields.get("text", ""))
        if not text and not form.sent("proof"):
            return _claim_again(asked, form, Trouble(fields={"text": "missing"}))
        proofs = _proofs(asked, form)
        who, now = asked.visitor, portal.clock.now()
        done = answer(portal.engine, who.partner_id, claim_id, text, proofs, now, who.person)
    except Refused as refused:
        return _claim_again(asked, form, Trouble(fields={"text": refused.code}))
    except NoProof as no:
        return _claim_again(asked, form, Trouble(file=no))
    except TooMuch:
        return _claim_again(asked, form, Trouble(sheet="too-much"))
    finally:
        if not done:
            portal.proofs.drop(proofs)
    return RedirectResponse(f"/claims/{claim_id}", 303)


def _from_fields(asked: Asked, form: Form) -> list[Claimed] | Trouble:
    claimed, wrong = from_form(form.fields, asked.portal.programme, asked.portal.clock.now())
    return [claimed] if claimed is not None else Trouble(fields=wrong)


def _from_sheet(asked: Asked, form: Form) -> list[Claimed] | Trouble:
    """The sales in a file; or what is wrong with it, and then none of them."""
    files = form.sent("sheet")
    if not files:
        return Trouble(sheet="none")
    claimed: list[Claimed] = []
    refused: list[Refusal] = []
    read = row_reader(asked.visitor.partner_id, asked.portal.programme, asked.portal.clock.now())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sheet.csv"
        path.write_bytes(files[0].file.read())
        try:
            with closing(Sheet(str(path), COLUMNS)) as sheet:
                for row in sheet.rows(read):
                    if isinstance(row, Refusal):
                        refused.append(row)
                    elif any(row.value.sale_id == one.sale_id for one in claimed):
                        refused.append(Refusal(row.line, row.cells, "twice", "", ""))
                    else:
                        claimed.append(row.value)
                    if len(claimed) + len(refused) > FILE_ROWS_MAX:
                        return Trouble(sheet="too-many-rows")
        except UsageError:
            return Trouble(sheet="columns")
    if refused:
        return Trouble(rows=refused[:_REFUSALS_SHOWN])
    return claimed or Trouble(sheet="empty")


def _proofs(asked: Asked, form: Form) -> list[Proof]:
    sent: list[Sent] = form.sent("proof")
    if len(sent) > FILES_MAX:
        raise NoProof("too-many", "")
    return asked.portal.proofs.take(sent)


def _again(asked: Asked, form: Form, trouble: Trouble) -> Response:
    return HTMLResponse(_form_page(asked, form.fields, trouble), 422)


def _claim_again(asked: Asked, form: Form, trouble: Trouble) -> Response:
    return HTMLResponse(_claim_page(asked, trouble, form.fields), 422)


def _form_page(asked: Asked, fields: Mapping[str, str], trouble: Trouble) -> str:
    portal = asked.portal
    if asked.request.query_params.get("wrong") == "too-large":
        trouble = Trouble(file=NoProof("too-large", ""))
    today = portal.clock.now().astimezone(portal.programme.zone).date()
    with reading(portal.engine).connect() as connection:
        voice = _voice(asked, connection)
    products = sorted(portal.programme.products, key=lambda product: product.name)
    return asked.page("claims/new.html", voice, products=products, fields=fields, trouble=trouble, today=today)


def _claim_page(asked: Asked, trouble: Trouble, fields: Mapping[str, str]) -> str:
    if asked.request.query_params.get("wrong") == "too-large":
        trouble = Trouble(file=NoProof("too-large", ""))
    whole, voice, parts = _facts(asked)
    live = f"/claims/{whole.claim.claim_id}/events"
    return asked.page("claims/one.html", voice, live, whole=whole, parts=parts, trouble=trouble, fields=fields)


def _facts(asked: Asked) -> tuple[lists.Whole, Voice, Fragments]:
    """A claim of the partner, his voice, and the page's live part. Raises NotHere."""
    portal, partner_id = asked.portal, asked.visitor.partner_id
    with snapshot(portal.engine) as connection:
        claim = own(connection, partner_id, asked.request.path_params["claim_id"])
        if claim is None:
            raise NotHere
        whole = lists.whole(connection, claim)
        line = line_of(connection, partner_id, claim.sale_id)
        voice = _voice(asked, connection)
    product = portal.programme.product(claim.product_id)
    name = product.name if product else claim.product_id
    return whole, voice, portal.pages.claim_parts(claim, voice, steps=whole.steps, line=line, product=name)


def _voice(asked: Asked, connection: Connection) -> Voice:
    partner: Any = PartnerRows(connection, asked.portal.programme.id, asked.visitor.partner_id).partner()
    return voice_of(asked, partner)


ROWS = (
    Row("/claims", show_claims, Needs.LINK, "claims"),
    Row("/claims", claim, Needs.LINK, "claims", "POST", form_bytes_max=None),
    Row("/claims/new", show_form, Needs.LINK, "claims-new"),
    Row("/claims/{claim_id}", show_claim, Needs.LINK, "claim"),
    Row("/claims/{claim_id}/events", follow_claim, Needs.LINK, "events"),
    Row("/claims/{claim_id}/answer", answer_question, Needs.LINK, "claim", "POST", form_bytes_max=None),
    Row("/claims/{claim_id}/withdraw", withdraw_claim, Needs.LINK, "claim", "POST"),
)
