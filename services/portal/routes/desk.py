"""The vendor's work list of claims: what waits, what is known about each, and the decision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from schemas.events import ClaimDecision
from services.kit.csvfile import Refused as NotTaken
from services.portal.access import Asked, Needs, Refused, Row
from services.portal.auth import Role
from services.portal.claims import lists, words
from services.portal.claims.deciding import QUESTIONS, REFUSALS, Decision, Outcome, decide, forbidden
from services.portal.claims.known import line_of, troubles
from services.portal.claims.lists import Wanted
from services.portal.claims.proofs import MEDIA_TYPES
from services.portal.claims.reading import free_text
from services.portal.claims.tables import OPEN, Status
from services.portal.exports import Cell, csv_response, xlsx_response
from services.portal.queries import snapshot
from services.portal.routes.claims import page_of
from services.portal.views import NotHere
from services.portal.voice import Voice

_SEARCH_LENGTH_MAX = 100
_REASONS = {ClaimDecision.REFUSED: REFUSALS, ClaimDecision.ASKED: QUESTIONS}


async def show_desk(asked: Asked) -> Response:
    """The work list."""
    wanted = _wanted(asked)

    def render() -> str:
        with snapshot(asked.portal.engine) as connection:
            some, numbers = lists.desk(connection, wanted), lists.by_status(connection)
        query = urlencode({"status": wanted.status or "all", "q": wanted.search})
        return asked.page(
            "claims/desk.html",
            asked.voice(),
            some=some,
            numbers=numbers,
            wanted=wanted,
            query=query,
            statuses=list(Status),
            done=asked.request.query_params.get("done", "")[:20],
        )

    return HTMLResponse(await run_in_threadpool(render))


async def give_csv(asked: Asked) -> Response:
    """The list as CSV."""
    voice = asked.voice()
    return csv_response("claims", _titles(voice), _rows(asked, _wanted(asked), voice))


async def give_xlsx(asked: Asked) -> Response:
    """The list as XLSX."""
    voice = asked.voice()
    rows = _rows(asked, _wanted(asked), voice)
    return await run_in_threadpool(xlsx_response, "claims", _titles(voice), rows)


async def show_claim(asked: Asked) -> Response:
    """One claim, with what is known about it."""
    return HTMLResponse(await run_in_threadpool(_claim_page, asked))


async def give_proof(asked: Asked) -> Response:
    """A proof as its partner sent it. It is saved, never shown: what is in it is somebody else's."""
    asked.request.scope["staffel.sandboxed"] = True

    def find() -> Any:
        whole = _whole(asked)
        return next((p for p in whole.proofs if p.proof_id == asked.request.path_params["proof_id"]), None)

    proof = await run_in_threadpool(find)
    if proof is None or not (path := asked.portal.proofs.path(proof.proof_id)).is_file():
        raise NotHere
    # By its name alone a system decides what opens it: the ending is that of its content.
    ending = f".{proof.kind}"
    name = proof.file_name if proof.file_name.lower().endswith(ending) else proof.file_name + ending
    return FileResponse(path, media_type=MEDIA_TYPES[proof.kind], filename=name)


async def decide_claim(asked: Asked) -> Response:
    """Carry out a decision; whoever was slower is told."""
    portal, claim_id = asked.portal, asked.request.path_params["claim_id"]
    try:
        what = ClaimDecision(asked.form.get("what", ""))
        version = int(asked.form.get("version", ""))
    except ValueError:
        raise Refused from None
    reason = asked.form.get("reason") or None
    if what is ClaimDecision.UNKNOWN or (reason not in _REASONS.get(what, (None,))):
        raise Refused

    def act() -> Response:
        claim = _whole(asked).claim
        try:
            text = free_text(asked.form.get("text", ""))
        except NotTaken as refused:
            return HTMLResponse(_claim_page(asked, wrong=refused.code), 422)
        if reason == "other" and not text:
            return HTMLResponse(_claim_page(asked, wrong="missing"), 422)
        made = Decision(what, version, asked.visitor.person, reason, text)
        outcome = decide(portal.engine, portal.programme, claim_id, made, portal.clock.now())
        if outcome is not Outcome.DONE:
            return HTMLResponse(_claim_page(asked, outcome=outcome), 409)
        portal.changes.publish([claim.partner_id])
        return RedirectResponse(f"/claims/desk?done={claim_id}", 303)

    return await run_in_threadpool(act)


def _claim_page(asked: Asked, outcome: str = "", wrong: str = "") -> str:
    portal = asked.portal
    with snapshot(portal.engine) as connection:
        claim = lists.with_partner(connection, asked.request.path_params["claim_id"])
        if claim is None:
            raise NotHere
        found = troubles(connection, claim) if claim.status in OPEN else []
        stops = forbidden(connection, portal.programme, claim, portal.clock.now()) if claim.status in OPEN else []
        product = portal.programme.product(claim.product_id)
        return asked.page(
            "claims/decide.html",
            asked.voice(),
            whole=lists.whole(connection, claim),
            line=line_of(connection, claim.partner_id, claim.sale_id),
            near=lists.neighbours(connection, claim),
            troubles=found,
            would_not_count=next((stop for stop in stops if isinstance(stop, str)), ""),
            may_accept=not stops,
            may_decide=claim.status in OPEN and asked.visitor.role >= Role.OPERATOR,
            product=product.name if product else "",
            refusals=REFUSALS,
            questions=QUESTIONS,
            outcome=outcome,
            wrong=wrong,
            form=asked.form,
        )


def _whole(asked: Asked) -> lists.Whole:
    with snapshot(asked.portal.engine) as connection:
        claim = lists.with_partner(connection, asked.request.path_params["claim_id"])
        if claim is None:
            raise NotHere
        return lists.whole(connection, claim)


def _wanted(asked: Asked) -> Wanted:
    parameters = asked.request.query_params
    status = parameters.get("status", Status.SENT)
    if status not in ("all", *Status):
        raise NotHere
    search = parameters.get("q", "").replace("\0", "").strip()[:_SEARCH_LENGTH_MAX]
    return Wanted("" if status == "all" else status, search, page_of(asked))


def _titles(voice: Voice) -> tuple[str, ...]:
    return (
        voice.say("Claim"),
        voice.say("Partner"),
        voice.say("Name"),
        voice.say("Country"),
        voice.say("Sale"),
        voice.say("Product"),
        voice.say("Units"),
        voice.say("Sold on"),
        voice.say("Serial numbers"),
        voice.say("Reported"),
        voice.say("State"),
        voice.say("Reason"),
        voice.say("Changed"),
    )


def _rows(asked: Asked, wanted: Wanted, voice: Voice) -> Iterator[tuple[Cell, ...]]:
    with snapshot(asked.portal.engine) as connection:
        for claim in lists.whole_desk(connection, wanted):
            yield (
                *(claim.claim_id, claim.partner_id, claim.name, claim.country, claim.sale_id, claim.product_id),
                *(claim.quantity, claim.sold_on, claim.serial_numbers.replace("\n", " ")),
                *(claim.claimed_at.astimezone(voice.zone), words.desk_name(claim.status, voice)),
                *(claim.reason, claim.changed_at.astimezone(voice.zone)),
            )


ROWS = (
    Row("/claims/desk", show_desk, Needs.VIEWER, "claims-desk"),
    Row("/claims/desk.csv", give_csv, Needs.VIEWER, "claims-desk"),
    Row("/claims/desk.xlsx", give_xlsx, Needs.VIEWER, "claims-desk"),
    Row("/claims/desk/{claim_id}", show_claim, Needs.VIEWER, "claims-desk"),
    Row("/claims/desk/{claim_id}", decide_claim, Needs.OPERATOR, "claims-desk", "POST", form_bytes_max=16_384),
    Row("/claims/desk/{claim_id}/proofs/{proof_id}", give_proof, Needs.VIEWER, "proof"),
)
