"""What is unusual about a quarter, and what is not."""

from __future__ import annotations

from datetime import date

import pytest

from schemas.values import Quarter
from services.payout.anomalies import LAST_DAYS, UNUSUAL_UNITS, Rules, Seen, first_of_last_days, found
from tests.payout.office import PROGRAMME, QUARTER

TERMS = PROGRAMME.terms_for(Quarter.parse(QUARTER))
RULES = Rules(3.0, 25)


@pytest.mark.parametrize(
    ("seen", "codes"),
    [
        (Seen(31, 0, (10, 10)), [UNUSUAL_UNITS]),
        (Seen(30, 0, (10, 10)), []),
        (Seen(500, 0, (10,)), []),
        (Seen(500, 0, ()), []),
        (Seen(60, 20, (5, 20)), [UNUSUAL_UNITS, LAST_DAYS]),
        (Seen(40, 10, ()), []),
        (Seen(25, 7, ()), [LAST_DAYS]),
        (Seen(26, 2, ()), []),
        (Seen(10, 2, ()), []),
        (Seen(10, 3, ()), [LAST_DAYS]),
        (Seen(12, 12, ()), [LAST_DAYS]),
        (Seen(9, 9, ()), []),
        (Seen(0, 0, ()), []),
    ],
)
def test_the_rules_find(seen: Seen, codes: list[str]) -> None:
    assert found(RULES, TERMS, seen) == codes


def test_each_rule_can_be_turned_off() -> None:
    both = Seen(60, 20, (5, 20))
    assert found(Rules(0, 25), TERMS, both) == [LAST_DAYS]
    assert found(Rules(3.0, 0), TERMS, both) == [UNUSUAL_UNITS]
    assert found(Rules(0, 0), TERMS, both) == []


def test_the_last_two_days_begin_on_the_day_before_the_last() -> None:
    assert first_of_last_days(Quarter.parse("2026Q4")) == date(2026, 12, 30)
    assert first_of_last_days(Quarter.parse("2027Q1")) == date(2027, 3, 30)


def test_other_facts_have_another_hash() -> None:
    seen = Seen(60, 20, (5, 20))
    others = [seen._replace(units=61), seen._replace(last_days=19), seen._replace(earlier=(5, 21))]
    assert len({other.facts for other in (seen, *others)}) == 4
    assert Seen(60, 20, (5, 20)).facts == seen.facts
