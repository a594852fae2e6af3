"""From facts to words: what a statement prints, in the partner's language. The layout is ``statement.typ``'s.

What is printed is a tree of strings, so that nothing is left to be computed, formatted or interpreted there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.numbers import format_percent

from schemas.values import Quarter
from services.kit.speech import Speech, catalogue, locale_for, spoken
from services.payout.statements.facts import Facts, Kind, Line, Party, QuarterPart
from streams.rules.terms import VatTreatment

TEXTS = Path(__file__).parent / "texts"
LINES_MAX = 500
"""More sales than these are not listed on paper, only in the attached file."""

Printed = dict[str, Any]


class Voice(Speech):
    """One language, with the habits of one country."""

    def quarter(self, name: str) -> str:
        """``2026Q4``, in words."""
        quarter = Quarter.parse(name)
        return self.say("Q{number} {year}", number=quarter.number, year=quarter.year)

    def month(self, day: date) -> str:
        return format_date(day, "LLL", self.locale)

    def short_date(self, day: date) -> str:
        return format_date(day, "short", self.locale)

    def country(self, code: str) -> str:
        """A country's name, or its code if there is none."""
        return str(self.locale.territories.get(code, code))

    def percent(self, rate: str) -> str:
        """A rate as it stands in the terms, like ``8.1``."""
        return format_percent(Decimal(rate) / 100, locale=self.locale, decimal_quantization=False)


@cache
def voice_for(language: str, country: str) -> Voice:
    """The voice for a partner. English if his language is not spoken here."""
    chosen = spoken(TEXTS, language)
    return Voice(locale_for(chosen, country), ZoneInfo("UTC"), catalogue(TEXTS, chosen))


def printed(facts: Facts) -> Printed:
    """All that the document shows."""
    voice = voice_for(facts.language, facts.partner.country)
    return {
        "language": voice.language,
        "title": voice.say("Rebate statement"),
        "number": facts.number,
        "page": voice.say("Page"),
        "vendor": facts.vendor.name,
        "programme": facts.programme,
        "sender": [facts.vendor.name, *facts.vendor.address],
        "recipient": _recipient(facts.partner, voice),
        "about": _about(facts, voice),
        "headline": _headline(facts, voice),
        "positions": _positions(facts, voice),
        "balance": _balance(facts, voice),
        "vat": _vat(facts, voice),
        "replaces": [_replaced(facts, index, voice) for index in range(len(facts.replaces))],
        "quarters": [_quarter(facts, part, voice) for part in facts.quarters],
        "sales": _sales(facts, voice),
        "closing": [
            voice.say("The rebate comes on top of your individual agreements, which it does not touch."),
            voice.say("This statement was made by machine and is valid without a signature."),
        ],
    }


def _recipient(partner: Party, voice: Voice) -> list[str]:
    country = [voice.country(partner.country)] if partner.country else []
    return [partner.name, *partner.address, *country]


def _about(facts: Facts, voice: Voice) -> list[tuple[str, str]]:
    versions = dict.fromkeys(part.terms_version for part in facts.quarters)
    rows = [
        (voice.say("Number"), facts.number),
        (voice.say("Date"), voice.date(facts.issued_on)),
        (voice.say("Partner"), facts.partner_id),
        (voice.say("Your VAT id"), facts.partner.vat_id),
        (voice.say("Programme"), facts.programme),
        (voice.say("Terms"), ", ".join(versions)),
        (voice.say("Our VAT id"), facts.vendor.vat_id),
    ]
    return [(label, value) for label, value in rows if value]


def _headline(facts: Facts, voice: Voice) -> Printed:
    if facts.transfer is not None:
        label = voice.say("Payment to you")
        notes = [
            (voice.say("To account"), facts.transfer.iban),
            (voice.say("Executed on"), voice.date(facts.transfer.execution_date)),
            (voice.say("Reference"), facts.transfer.end_to_end_id),
        ]
        return {"label": label, "amount": voice.amount(facts.total_minor, facts.currency), "notes": notes, "say": ""}
    if facts.kind is Kind.SET_OFF:
        label = voice.say("Set off")
        sentence = voice.say("What you earned and what was taken back are equal. Nothing is paid.")
    else:
        label = voice.say("Carried forward")
        sentence = voice.say("Set off against your next payment. There is nothing for you to pay.")
    return {"label": label, "amount": voice.amount(facts.total_minor, facts.currency), "notes": [], "say": sentence}


def _positions(facts: Facts, voice: Voice) -> Printed:
    def amount(minor: int) -> str:
        return voice.amount(minor, facts.currency)

    def name(revision: int) -> str:
        return voice.say("Final result") if revision == 1 else voice.say("Adjustment {number}", number=revision - 1)

    rows = [
        {
            "quarter": voice.quarter(position.quarter),
            "name": name(position.revision),
            "note": voice.say("carried forward on {number}", number=position.carried_on) if position.carried_on else "",
            "cells": [
                voice.number(position.units),
                amount(position.rebate_minor),
                amount(position.settled_minor),
                amount(position.amount_minor),
            ],
        }
        for position in facts.positions
    ]
    totals = {
        Kind.PAYMENT: voice.say("Payment to you"),
        Kind.SET_OFF: voice.say("Total"),
        Kind.CARRIED: voice.say("Carried forward"),
    }
    return {
        "title": voice.say("Settlement"),
        "head": [
            voice.say("Quarter"),
            voice.say("Units"),
            voice.say("Rebate of the quarter"),
            voice.say("Settled before"),
            voice.say("Amount"),
        ],
        "rows": rows,
        "total": [totals[facts.kind], amount(facts.total_minor)],
    }


def _balance(facts: Facts, voice: Voice) -> Printed | None:
    """Opening, new, paid and closing balance, wherever something is carried in or out."""
    if facts.kind is not Kind.CARRIED and not facts.opening_minor:
        return None
    rows = [
        (voice.say("Opening balance"), facts.opening_minor),
        (voice.say("New in this statement"), facts.total_minor - facts.opening_minor),
        (voice.say("Paid out"), -facts.paid_minor),
        (voice.say("Closing balance"), facts.total_minor - facts.paid_minor),
    ]
    return {
        "title": voice.say("Your account with us"),
        "rows": [(label, voice.amount(minor, facts.currency)) for label, minor in rows],
    }


def _vat(facts: Facts, voice: Voice) -> Printed:
    taxed = [part for part in facts.vat if part.rate]
    rows = [
        [
            voice.percent(part.rate),
            *(voice.amount(minor, facts.currency) for minor in (part.net_minor, part.tax_minor, part.amount_minor)),
        ]
        for part in taxed
    ]
    sentences = dict.fromkeys(_treated(part.treatment, voice) for part in facts.vat)
    if facts.kind is Kind.CARRIED:
        sentences = {voice.say("Value added tax is dealt with once the amount is set off or paid."): None}
    elif not facts.vat:
        sentences = {voice.say("Nothing is paid, and the value added tax of both sides is equal."): None}
    return {
        "title": voice.say("Value added tax"),
        "head": [voice.say("Rate"), voice.say("Net"), voice.say("Tax contained"), voice.say("Amount")],
        "rows": rows,
        "sentences": list(sentences),
    }


def _treated(treatment: VatTreatment, voice: Voice) -> str:
    match treatment:
        case VatTreatment.DIRECT_DOMESTIC:
            return voice.say(
                "The amount contains value added tax. It lowers the price of what we supplied to you (Article 90 of "
                "Directive 2006/112/EC; in Germany § 17(1) UStG): correct your input tax by the tax contained, in the "
                "period of the payment."
            )
        case VatTreatment.CHAIN_DOMESTIC:
            return voice.say(
                "The amount contains value added tax. It lowers the price of what you bought from your distributor, "
                "whose invoices stay as they are (Article 90 of Directive 2006/112/EC; in Germany § 17(1) UStG): "
                "correct your input tax by the tax contained, in the period of the payment."
            )
        case VatTreatment.CHAIN_FOREIGN:
            return voice.say(
                "The amount contains no value added tax: your distributor was supplied from another country, and your "
                "input tax stays as it is."
            )
        case VatTreatment.NON_EU:
            return voice.say(
                "The amount contains no value added tax of the European Union. What the law of your country asks for "
                "is not settled by this statement."
            )
        case VatTreatment.NONE:
            return voice.say("How the amount is treated for value added tax is not agreed. No tax is shown.")


def _replaced(facts: Facts, index: int, voice: Voice) -> str:
    said = facts.replaces[index]
    if said.returned_on is None:
        return voice.say(
            "Replaces {number}: its payment {reference} was not executed by the bank. The rebate counts once.",
            number=said.number,
            reference=said.end_to_end_id,
        )
    return voice.say(
        "Replaces {number}: its payment {reference} came back on {date}. The rebate counts once.",
        number=said.number,
        reference=said.end_to_end_id,
        date=voice.date(said.returned_on),
    )


def _quarter(facts: Facts, part: QuarterPart, voice: Voice) -> Printed:
    quarter = Quarter.parse(part.quarter)
    months = [date(quarter.year, quarter.first_day.month + n, 1) for n in range(3)]
    later, product = part.later_units, attrgetter("product_id")
    return {
        "title": voice.say("{quarter}: {units}", quarter=voice.quarter(part.quarter), units=voice.units(part.units)),
        "sentence": _earned(facts, part, voice),
        "head": [voice.say("Product"), *(voice.month(month) for month in months), voice.say("Total")],
        "rows": [
            {"id": id_, "name": facts.products.get(id_, ""), "cells": _by_month(list(sold), months, voice)}
            for id_, sold in groupby(sorted(part.lines, key=product), product)
        ],
        "total": [voice.say("Total"), *_by_month(part.lines, months, voice)],
        "note": voice.say(
            "Reports since this result have changed the quarter by {units}. A later statement settles them.",
            units=("+" if later > 0 else "\N{MINUS SIGN}") + voice.units(abs(later)),
        )
        if later
        else "",
    }


def _earned(facts: Facts, part: QuarterPart, voice: Voice) -> str:
    latest = [position for position in facts.positions if position.quarter == part.quarter][-1]
    if part.units * part.rate_minor != latest.rebate_minor:
        return ""  # the equation would be wrong, and the positions say what counts
    if not part.rate_minor:
        return voice.say("So many units do not reach a tier that earns a rebate.")
    return voice.say(
        "From {tier} on, every unit of the quarter earns {rate}: {units} × {rate} = {rebate}.",
        tier=voice.units(part.tier),
        rate=voice.amount(part.rate_minor, facts.currency),
        units=voice.number(part.units),
        rebate=voice.amount(latest.rebate_minor, facts.currency),
    )


def _by_month(lines: Sequence[Line], months: Sequence[date], voice: Voice) -> list[str]:
    units = [sum(line.units for line in lines if line.sold_on.month == month.month) for month in months]
    return [voice.number(number) for number in (*units, sum(units))]


def _sales(facts: Facts, voice: Voice) -> Printed:
    file = f"{facts.number}.csv"
    count = sum(len(part.lines) for part in facts.quarters)
    listed = facts.quarters if count <= LINES_MAX else ()
    return {
        "title": voice.say("Sales that count"),
        "sentence": voice.say("Every serial number stands in {file}, which is attached to this document.", file=file)
        if count
        else voice.say("No sale counts."),
        "head": [
            voice.say("Sold on"),
            voice.say("Sale"),
            voice.say("Product"),
            voice.say("Sold"),
            voice.say("Returned"),
            voice.say("Counted"),
        ],
        "groups": [
            {
                "title": voice.quarter(part.quarter),
                "rows": [
                    [
                        voice.short_date(line.sold_on),
                        line.sale_id,
                        line.product_id,
                        *map(voice.number, (line.quantity, line.quantity - line.units, line.units)),
                    ]
                    for line in part.lines
                ],
            }
            for part in listed
            if part.lines
        ],
        "file": file,
        "about_file": voice.say("The sales of this statement, one row for each serial number"),
    }
