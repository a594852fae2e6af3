"""What the demo prints at its end: the result, and where to look."""

from __future__ import annotations

from pathlib import Path

from deploy.cli.output import paint
from deploy.demo.check import closed_account
from deploy.demo.performance import Outcome, payment_files
from deploy.demo.quarter import QUARTER, Role
from deploy.demo.scenario import Scenario
from deploy.demo.screen import euros
from deploy.demo.watch import Money
from deploy.runtime.settings import Port, Settings
from schemas.events import LineStatus
from services.kit.links import Invitation, link_for

_DIFFERENCES_SHOWN = 10
_EXAMPLES = (
    (Role.CLAWBACK, "paid for 50 units, then one came back"),
    (Role.LIFTED, "9 units, until a forgotten report brought the tenth"),
    (Role.LATECOMER, "sold for weeks before he registered"),
)
_CLOSED = "his account was closed, so the bank sent the payment back"


def result(outcome: Outcome) -> str:
    """The result of the check, in a few lines."""
    verdict, figures = outcome.verdict, outcome.figures
    statuses = (LineStatus.COUNTED, LineStatus.PENDING, LineStatus.REJECTED, LineStatus.RETURNED)
    sales = ", ".join(f"{figures.verdicts[status]:,} {status}" for status in statuses)
    money = ", ".join(f"{euros(figures.money[place])} {place}" for place in Money if figures.money[place])
    waiting = f" (about {outcome.mails_waiting:,} more on their way)" if outcome.mails_waiting else ""
    rows = [
        ("Partners", f"{verdict.partners:,}, {verdict.right:,} of {verdict.partners:,} right"),
        ("Reports", f"{outcome.sent:,} sent; sales: {sales}; {figures.dead_letters} dead letters"),
        (
            "Told",
            f"{figures.mails:,} mails{waiting}, on {figures.tier_changes:,} tier changes, {figures.summaries:,} weekly "
            f"summaries, {sum(figures.closes.values()):,} closes and the payments",
        ),
        ("Rebate", f"{euros(figures.earned_minor)} earned, {euros(figures.payable_minor)} made payable"),
        ("Money", money),
        ("Differences", paint(str(len(verdict.differences)), "red") if verdict.differences else paint("none", "green")),
    ]
    shown = [f"  {text}" for text in verdict.differences[:_DIFFERENCES_SHOWN]]
    more = len(verdict.differences) - len(shown)
    title = (
        f"{QUARTER}, its closes, payments and a late return, in {outcome.seconds:.0f} s; held against an own recount:"
    )
    return "\n".join([paint(title, "bold"), "", *_lines(rows), *shown, *([f"  and {more} more"] if more > 0 else [])])


def places(scenario: Scenario, settings: Settings, temporary: bool) -> str:
    """Where to look around."""
    lines = ["Partners' pages, as behind the links in their mails:"]
    shown = [(scenario.named(role).partner, why) for role, why in _EXAMPLES]
    closed = closed_account(scenario).partner_id
    shown += [(actor.partner, _CLOSED) for actor in scenario.actors if actor.id == closed]
    for partner, why in shown:
        link = link_for(settings, Invitation("partner", partner.partner_id), str(QUARTER))
        lines += [f"{paint(partner.name, 'bold')}: {why}", f"  {link}"]
    fate = " (removed at the end; --data DIR keeps it)" if temporary else ""
    rows = [
        ("The vendor's page", link_for(settings, Invitation("staff", ""), str(QUARTER))),
        ("To act in it", f"./staffel staff add NAME --role approver --data {settings.data.resolve()}"),
        ("", f"then {settings.public_url}/sign-in"),
        ("Inbox", f"http://127.0.0.1:{settings.port(Port.INBOX)}/"),
        *(("Payment file", str(path.resolve())) for path in payment_files(settings)),
        *_statements(settings, scenario.named(Role.CLAWBACK).id),
        ("The bank", f"./staffel bank status --data {settings.data.resolve()}"),
        ("Data and logs", f"{settings.data.resolve()}{fate}"),
    ]
    return "\n".join([*lines, "", *_lines(rows)])


def _statements(settings: Settings, partner_id: str) -> list[tuple[str, str]]:
    found = sorted(Path(settings.statements).resolve().glob("*/*.pdf"))
    of_partner = [path for path in found if path.parent.name == partner_id]
    return [("Statements", f"{path} and {len(found) - 1:,} more") for path in of_partner[:1]]


def _lines(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(label) for label, _ in rows)
    return [f"{paint(label.ljust(width), 'bold')}  {text}" for label, text in rows]
