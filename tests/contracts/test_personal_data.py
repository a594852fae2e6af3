"""What a field may say about a person. Whoever adds a field decides it here: a field without a class fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.codec import schema_of
from schemas.events import Event, Partner
from tests.contracts.test_structs import each_event

# personal: tells who somebody is or how to reach him. A partner may be a sole trader, hence a person.
# reference: points to somebody without telling who he is.
# trade: what was sold, earned and paid. machine: of interest to software only.
CLASSES = {
    "personal": {"name", "email", "language", "country", "registered_on", "left_on"},
    "reference": {"partner_id", "reported_by", "end_to_end_id", "claim_id"},
    "trade": {
        *("sale_id", "return_id", "product_id", "quantity", "serial_numbers", "sold_on", "returned_on", "reported_at"),
        *("status", "reason", "quarter", "units", "recorded_at", "returns", "conflicts"),
        *("programme_id", "currency", "terms_version", "tier", "rate_minor", "rebate_minor", "payable_minor"),
        *("payable_total_minor", "counted", "pending", "rejected", "returned", "phase", "kind", "revision"),
        *("week", "week_units", "week_rebate_minor", "as_of", "from_tier", "to_tier", "rebate_before_minor"),
        *("rebate_after_minor", "next_threshold", "units_missing", "gain_minor", "occurred_at", "units_change"),
        *("rebate_change_minor", "quarter_ends_on", "closed_at", "amount_minor", "run_id", "execution_date"),
        *("version", "change", "usable_on", "weekly_mail", "chosen_language", "decision"),
    },
    "machine": {
        *("content_hash", "source_offset", "tier_sequence", "sequence", "source", "topic_id", "offset"),
        *("last_hash", "last_offset", "leader_epoch", "programme_hash", "sales"),
    },
}
CLASS_OF = {name: group for group, names in CLASSES.items() for name in names}


def test_each_field_has_one_class() -> None:
    assert sum(map(len, CLASSES.values())) == len(CLASS_OF)


@each_event
def test_every_field_has_a_class(event: type[Event]) -> None:
    assert {name for name in _names(schema_of(event)) if name not in CLASS_OF} == set()


@each_event
def test_only_the_partner_record_is_personal(event: type[Event]) -> None:
    personal = {name for name in _names(schema_of(event)) if CLASS_OF[name] == "personal"}
    assert bool(personal) == (event is Partner), personal


@each_event
def test_no_event_speaks_of_bank_details_or_addresses(event: type[Event]) -> None:
    words = ("iban", "bic", "account", "holder", "phone", "street", "birth")
    assert not [name for name in _names(schema_of(event)) if any(word in name for word in words)]


def _names(schema: Any) -> Iterator[str]:
    for field in schema["fields"]:
        yield field["name"]
        items = field["type"].get("items") if isinstance(field["type"], dict) else None
        if isinstance(items, dict) and items.get("type") == "record":
            yield from _names(items)
