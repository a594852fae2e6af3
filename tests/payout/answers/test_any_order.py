"""The bank's answers in any order and any number: the end is the same, or it is shown."""

from __future__ import annotations

import shutil
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.payout.answers.rules import Mention, which
from services.payout.bank_days import next_bank_day
from tests.payout.answers.bank import (
    DAY,
    Movement,
    back,
    balances,
    ids_of,
    obligation_states,
    paid,
    payment_states,
    report,
    run_id,
    run_states,
    says,
    sound,
    statement,
    unmatched,
)
from tests.payout.office import FINAL, FRIDAY, Office

PARTNERS = ("P1", "P2", "P3")
STORIES = {
    "silence": (),
    "accepted": ("accepted",),
    "rejected": ("rejected",),
    "accepted, then rejected": ("accepted", "rejected"),
    "settled": ("accepted", "noticed", "debited"),
    "returned": ("accepted", "debited", "returned"),
    "returned without an answer": ("noticed", "debited", "returned"),
    "rejected and debited": ("rejected", "debited"),
    "rejected, debited and returned": ("rejected", "debited", "returned"),
    "debited twice": ("debited", "debited again"),
}
END = {
    "silence": "released",
    "accepted": "accepted",
    "rejected": "rejected",
    "accepted, then rejected": "rejected",
    "settled": "settled",
    "returned": "returned",
    "returned without an answer": "returned",
    "rejected and debited": "settled",
    "rejected, debited and returned": "returned",
    "debited twice": "settled",
}
stories = st.lists(st.sampled_from(sorted(STORIES)), min_size=len(PARTNERS), max_size=len(PARTNERS))


def message(office: Office, partner_id: str, id_: str, what: str) -> bytes:
    """The file in which the bank says it; the same at every call."""
    ref = f"R{partner_id}"
    match what:
        case "accepted":
            return report(run_id(office), transactions=[(id_, "ACCP", "")], message_id=f"A-{partner_id}")
        case "rejected":
            return report(run_id(office), transactions=[(id_, "RJCT", "AM04")], message_id=f"B-{partner_id}")
        case "noticed":
            return statement([Movement(id_, reference=ref)], "camt.054", f"N-{partner_id}")
        case "debited":
            return statement([Movement(id_, reference=ref)], statement_id=f"S-{partner_id}")
        case "debited again":
            late = DAY + timedelta(days=1)
            return statement([Movement(id_, reference=f"{ref}-2", day=late)], statement_id=f"T-{partner_id}", day=late)
    late = DAY + timedelta(days=3)
    return statement([back(id_, "AM04", reference=f"{ref}-B", day=late)], statement_id=f"U-{partner_id}", day=late)


def end(office: Office) -> dict[str, Any]:
    """All that must not depend on the order."""
    return {
        "payments": payment_states(office),
        "obligations": {partner_id: obligation_states(office, partner_id) for partner_id in PARTNERS},
        "balances": balances(office),
        "runs": run_states(office),
        "unmatched": sorted(unmatched(office)),
        "violations": sound(office),
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which a run has just paid each partner."""
    path = tmp_path_factory.mktemp("template") / "payout.db"
    office = Office(path.parent, f"sqlite:///{path}")
    paid(office, *PARTNERS)
    office.engine.dispose()
    return path


def opened(template: Path, folder: Path) -> Office:
    """An office on a copy of it."""
    return Office(folder, f"sqlite:///{shutil.copy(template, folder)}")


@given(stories, st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_and_any_repetition_end_alike(
    tmp_path_factory: pytest.TempPathFactory, template: Path, chosen: list[str], random: Any, judged: bool
) -> None:
    ends = []
    for shuffled in (False, True):
        office = opened(template, tmp_path_factory.mktemp("office"))
        ids = ids_of(office)
        said = [
            (partner_id, what) for partner_id, story in zip(PARTNERS, chosen, strict=True) for what in STORIES[story]
        ]
        if shuffled:
            said += [one for one in said if random.random() < 0.5]
            random.shuffle(said)
        for partner_id, what in said:
            says(office, message(office, partner_id, ids[partner_id], what))
            if judged:
                office.recount()
        office.recount()
        ends.append(end(office))
        office.engine.dispose()
    assert ends[0] == ends[1]
    assert ends[0]["violations"] == []
    assert [state for state, _ in ends[0]["payments"].values()] == [END[story] for story in chosen]


@given(stories, st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_bank_says_between_runs_nobody_is_booked_as_paid_twice(
    tmp_path_factory: pytest.TempPathFactory, template: Path, chosen: list[str], random: Any
) -> None:
    office = opened(template, tmp_path_factory.mktemp("office"))
    ids = ids_of(office)
    said = [(p, what) for p, story in zip(PARTNERS, chosen, strict=True) for what in STORIES[story]]
    random.shuffle(said)
    first, day = run_id(office), FRIDAY
    for partner_id, what in said:
        assert run_id(office) == first
        says(office, message(office, partner_id, ids[partner_id], what))
        office.recount()
        day = next_bank_day(day)
        office.pay(day, FINAL + (day - FRIDAY))
        assert sound(office) == []
    gone = -balances(office).get("asset:bank", 0) - balances(office).get("asset:bank:in_transit", 0)
    assert 0 <= gone <= 75_000 * len(PARTNERS)
    office.engine.dispose()


def test_two_debits_are_two_however_their_mentions_come() -> None:
    mentions = [
        Mention("camt.054", "a", "N1", "1", "A", DAY),
        Mention("camt.053", "a", "S1", "1", "A", DAY),
        Mention("camt.053", "a", "S1", "2", "B", DAY),
        Mention("camt.052", "a", "R1", "1", "B", DAY),
    ]
    for order in permutations(mentions):
        known: list[Mention] = []
        for mention in order:
            known.append(mention._replace(times=which(known, mention)))
        assert max(mention.times for mention in known) == 2
