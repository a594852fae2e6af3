"""Compares what the stack came to with the recount: standings, what is owed, what is paid, and what came back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from deploy.demo.quarter import FINAL, QUARTER, BankDetails, Role
from deploy.demo.recount import Expected, recount
from deploy.demo.scenario import Moment, Scenario


class Found(NamedTuple):
    """What the stack came to."""

    standings: Mapping[tuple[str, str], Expected]
    """By partner and quarter, as the partner sees it."""
    payable_minor: Mapping[str, int]
    """By partner, what the closes of the quarter made payable in all."""
    paid_minor: Mapping[str, int]
    """By IBAN, the sum of the payment files."""
    arrived_minor: Mapping[str, int]
    """By partner, what the bank has paid and not sent back."""
    came_back_minor: Mapping[str, int]
    """By partner, what it has sent back."""
    dead_letters: int
    mails_twice: int


class Verdict(NamedTuple):
    """How it compares."""

    partners: int
    right: int
    differences: tuple[str, ...]


def compare(scenario: Scenario, found: Found) -> Verdict:
    """Hold what was found against an independent recount, partner by partner."""
    expected = recount(scenario.registered, scenario.moments)
    ids = sorted({actor.id for actor in scenario.actors} | {partner_id for partner_id, _ in found.standings})
    differences: dict[str, list[str]] = {partner_id: [] for partner_id in ids}
    for partner_id, quarter in sorted({*expected, *found.standings}):
        right, seen = expected.get((partner_id, quarter), Expected()), found.standings.get((partner_id, quarter))
        if (seen or Expected()) != right:
            differences[partner_id].append(f"{quarter}: {right} expected, {seen} found")
    owed = {partner_id: e.rebate_minor for (partner_id, quarter), e in expected.items() if quarter == str(QUARTER)}
    for partner_id in ids:
        if owed.get(partner_id, 0) != found.payable_minor.get(partner_id, 0):
            differences[partner_id].append(
                f"{owed.get(partner_id, 0)} cents owed, {found.payable_minor.get(partner_id, 0)} made payable"
            )
    closed = closed_account(scenario)
    for details, cents in payments_due(scenario):
        paid = found.paid_minor.get(details.iban, 0)
        if paid != cents:
            differences[details.partner_id].append(f"{cents} cents to be paid, {paid} in the payment files")
        differences[details.partner_id] += _at_the_bank(found, details.partner_id, cents, details == closed)
    strangers = set(found.paid_minor) - {details.iban for details in scenario.bank_details}
    others = [f"an account that nobody has is paid: {strangers}"] if strangers else []
    broken = sum(isinstance(moment.record, bytes) for moment in scenario.moments)
    if found.dead_letters != broken:
        others.append(f"{broken} records were broken, {found.dead_letters} are dead letters")
    if found.mails_twice:
        others.append(f"{found.mails_twice} mails were sent twice")
    told = [f"{partner_id}: {text}" for partner_id, texts in differences.items() for text in texts]
    return Verdict(len(ids), sum(not texts for texts in differences.values()), tuple(others + told))


def payments_due(scenario: Scenario) -> list[tuple[BankDetails, int]]:
    """What the files must pay to whom: the final rebate and what came on top; what was paid is not fetched back."""
    final = recount(scenario.registered, _before_final(scenario.moments))
    end = recount(scenario.registered, scenario.moments)
    due = []
    for details in scenario.bank_details:
        key = details.partner_id, str(QUARTER)
        sums = [counted.get(key, Expected()).rebate_minor for counted in (final, end)]
        due.append((details, max(sums)))
    return due


def closed_account(scenario: Scenario) -> BankDetails:
    """The account from which the bank sends the money back. Nobody pays there again: its owner must name another.

    It is that of who is paid least, among those who are paid once and play no part.
    """
    final = recount(scenario.registered, _before_final(scenario.moments))
    end = recount(scenario.registered, scenario.moments)
    ordinary = {actor.id for actor in scenario.actors if actor.role is Role.ORDINARY}
    paid = []
    for details, cents in payments_due(scenario):
        key = details.partner_id, str(QUARTER)
        if cents and details.partner_id in ordinary and final[key] == end[key]:
            paid.append((cents, details))
    return min(paid)[1]


def paid_by_iban(files: Iterable[Path]) -> Counter[str]:
    """The sums that pain.001 files pay to each account, in cents."""
    found: Counter[str] = Counter()
    for path in files:
        tree = etree.parse(path, etree.XMLParser(resolve_entities=False, no_network=True))
        for payment in tree.iterfind(".//{*}CdtTrfTxInf"):
            iban, amount = payment.findtext("{*}CdtrAcct/{*}Id/{*}IBAN"), payment.findtext("{*}Amt/{*}InstdAmt")
            euros, _, cents = (amount or "").partition(".")
            found[iban or ""] += int(euros) * 100 + int(cents.ljust(2, "0"))
    return found


def _at_the_bank(found: Found, partner_id: str, cents: int, closed: bool) -> Iterator[str]:
    arrived, came_back = found.arrived_minor.get(partner_id, 0), found.came_back_minor.get(partner_id, 0)
    if arrived != (0 if closed else cents):
        yield f"{0 if closed else cents} cents to arrive, {arrived} did"
    if came_back != (cents if closed else 0):
        yield f"{cents if closed else 0} cents to come back, {came_back} did"


def _before_final(moments: Iterable[Moment]) -> list[Moment]:
    return [moment for moment in moments if moment.at < FINAL]
