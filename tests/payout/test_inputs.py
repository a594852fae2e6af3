"""What payout keeps of lines and partners, besides what the recount needs."""

from __future__ import annotations

from datetime import date

import msgspec

from schemas.events import LineStatus, Partner
from schemas.topics import PARTNERS, SALE_LINES, SETTLED_LINES
from services.payout import lines, partners
from tests.payout.office import Office, line

PARTNER = Partner("P1", "Beispiel\0 GmbH", "a@b.example", "de", "DE", date(2026, 1, 1))


def test_every_line_is_kept_whole_and_only_its_latest_state(office: Office) -> None:
    counted = line("P1", 5, sale_id="a")
    rejected = msgspec.structs.replace(line("P1", 0, sale_id="b"), status=LineStatus.REJECTED, reason="sold-in-future")
    other = line("P2", 1, sale_id="c")
    office.deliver(SALE_LINES, [(f"{said.partner_id}/{said.sale_id}", said) for said in (counted, rejected, other)])
    returned = msgspec.structs.replace(counted, units=0, status=LineStatus.RETURNED)
    office.deliver(SALE_LINES, [("P1/a", returned)])
    with office.engine.connect() as connection:
        assert list(lines.of_quarter(connection, "2026Q4", "P1")) == [returned, rejected]
        assert list(lines.of_quarter(connection, "2026Q4")) == [returned, rejected, other]
        assert list(lines.of_quarter(connection, "2026Q3")) == []


def test_a_line_that_moves_to_the_settled_ones_stays_and_one_that_is_taken_out_goes(office: Office) -> None:
    counted = line("P1", 5, sale_id="a")
    office.deliver(SALE_LINES, [("P1/a", counted), ("P1/b", line("P1", 2, sale_id="b"))])
    office.deliver(SALE_LINES, [("P1/a", None)], moved=True)
    office.deliver(SALE_LINES, [("P1/b", None)])
    office.deliver(SETTLED_LINES, [("P1/a", counted), ("P1/c", line("P1", 3, sale_id="c"))])
    with office.engine.connect() as connection:
        assert [said.sale_id for said in lines.of_quarter(connection, "2026Q4")] == ["a", "c"]
        assert lines.units(connection, ["P1"]) == {("P1", "2026Q4"): 8}


def test_a_partner_is_known_as_last_told_and_forgotten_when_told_so(office: Office) -> None:
    moved = msgspec.structs.replace(PARTNER, country="AT", left_on=date(2026, 12, 1))
    office.deliver(
        PARTNERS, [("P1", PARTNER), ("P1", moved), ("P2", msgspec.structs.replace(PARTNER, partner_id="P2"))]
    )
    with office.engine.connect() as connection:
        found = partners.known(connection, ["P1", "P2", "P3"])
    assert {id_: (row.country, row.left_on) for id_, row in found.items()} == {
        "P1": ("AT", date(2026, 12, 1)),
        "P2": ("DE", None),
    }
    assert "\0" not in found["P1"].name
    office.deliver(PARTNERS, [("P1", None)])
    with office.engine.connect() as connection:
        assert list(partners.known(connection, ["P1", "P2"])) == ["P2"]
