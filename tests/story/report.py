"""The distributor's report that the story is about, and what must come of it, counted again in ten lines."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from random import Random
from typing import NamedTuple

SALES_HEADER = "event,id,sale_id,partner_id,product_id,quantity,sold_on,serial_numbers"
PARTNERS_HEADER = "partner_id,name,email,language,country,registered_on"
BANK_HEADER = "partner_id,account_holder,iban"

UNITS = {"S-0": 0, "S-9": 9, "S-10": 10, "S-24": 24, "S-25": 25, "S-49": 49, "S-50": 50, "S-NOBANK": 30, "S-BIG": 1500}
"""How many units each partner of the story ends up with."""
IBANS = {
    "S-10": "DE89370400440532013000",
    "S-24": "AT611904300234573201",
    "S-25": "NL91ABNA0417164300",
    "S-49": "FR1420041010050500013M02606",
    "S-50": "IE29AIBK93115212345678",
    "S-BIG": "ES9121000418450200051332",
    "S-9": "BE68539007547034",
}
LATER_IBAN = "S-NOBANK", "IT60X0542811101000000123456"


class Expected(NamedTuple):
    """What a partner must come to."""

    units: int
    tier: int
    rebate_minor: int


def address(partner_id: str) -> str:
    """Where his mails go."""
    return f"buyer@{partner_id.lower()}.example"


def write(path: Path, header: str, rows: list[str]) -> Path:
    """Write a file as a distributor would send it."""
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def partner_rows() -> list[str]:
    return [f"{id_},Reseller {id_},{address(id_)},en,IE,2026-10-01" for id_ in UNITS]


def bank_rows() -> list[str]:
    return [f"{id_},Reseller {id_},{iban}" for id_, iban in IBANS.items()]


def sales_rows() -> list[str]:
    """Each partner's units in small sales, and among them what does not count: other products, returns, resends."""
    random = Random(3)
    rows = []
    for partner_id, units in UNITS.items():
        left, number = units, 0
        while left:
            number += 1
            quantity = min(left, random.randint(1, 3))
            left -= quantity
            sale_id = f"{partner_id}-{number}"
            day = f"2026-{random.randint(10, 11)}-{random.randint(1, 28):02d}"
            if number % 7 == 3:  # one unit more, which comes back
                rows.append(f"return,R-{sale_id},{sale_id},{partner_id},TS-100,1,2026-12-01,")
                quantity += 1
            if number % 5 == 2:
                rows.append(f"sale,{sale_id}-X,{sale_id}-X,{partner_id},ACC-1,2,{day},")
            serials = "|".join(f"{sale_id}.{n}" for n in range(quantity)) if number % 2 else ""
            rows.append(f"sale,{sale_id},{sale_id},{partner_id},TS-100,{quantity},{day},{serials}")
            if number % 11 == 4:
                rows.append(rows[-1])
    random.shuffle(rows)
    return rows


def recount(rows: list[str]) -> dict[str, Expected]:
    """The same in ten lines that share nothing with the product."""
    units: dict[str, int] = defaultdict(int)
    for row in set(rows):
        event, _, _, partner_id, product_id, quantity, *_ = row.split(",")
        if product_id.startswith("TS-"):
            units[partner_id] += int(quantity) if event == "sale" else -int(quantity)
    tiers = ((50, 1500), (25, 1000), (10, 500), (0, 0))
    reached = {id_: next((t, rate) for t, rate in tiers if n >= t) for id_, n in units.items()}
    return {id_: Expected(n, reached[id_][0], n * reached[id_][1]) for id_, n in units.items()}
