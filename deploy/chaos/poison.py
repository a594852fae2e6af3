"""Records that no stream should be stopped by."""

from __future__ import annotations

import random
from datetime import date

from deploy.chaos.traffic import partner_id
from deploy.runtime import kafka
from deploy.runtime.clock import open_clock
from deploy.runtime.settings import Settings
from schemas.events import Partner, SaleReported
from schemas.topics import PARTNERS, SALES
from schemas.values import partition_of
from services.kit.sender import open_codec


def poison(settings: Settings, chance: random.Random) -> str:
    """Send a handful, each of another kind, to any partition; says so."""
    codec, now = open_codec(settings, [SALES, PARTNERS]), open_clock(settings).now()
    sale = SaleReported(f"poison-{chance.random()}", partner_id(1), "TS-100", 1, now.date(), now)
    good = codec.encode(SALES, sale)
    right = partition_of(sale.partner_id.encode(), settings.partitions)
    partner = Partner(partner_id(2), "Chaos", "chaos@partner.example", "de", "DE", date(2026, 1, 1))
    kinds = {
        "no value": (SALES, b"x", None, []),
        "no Avro": (SALES, b"x", b"\xffnot avro", []),
        "cut off": (SALES, b"x", good[:-3], []),
        "of an unknown schema": (SALES, b"x", b"\x00\x00\x0f\xff\xffx", []),
        "with an id that can't be": (SALES, b"x", codec.encode(SALES, _renamed(sale)), []),
        "astray again": (SALES, b"x", good, [("staffel-rerouted-from", b"0/0")]),
        "a partner under another's key": (PARTNERS, partner_id(3).encode(), codec.encode(PARTNERS, partner), []),
        "a partner cut off": (PARTNERS, partner_id(4).encode(), b"\x00\x00", []),
    }
    chosen = chance.sample(sorted(kinds), chance.randint(2, 5))
    producer = kafka.producer(settings)
    for kind in chosen:
        topic, key, value, headers = kinds[kind]
        wrong = (right + chance.randrange(1, settings.partitions)) % settings.partitions
        producer.produce(topic.full_name(settings.topic_prefix), value, key, headers=headers, partition=wrong)
    producer.flush(30)
    return f"{len(chosen)} bad records: {', '.join(chosen)}"


def _renamed(sale: SaleReported) -> SaleReported:
    return SaleReported("\n", sale.partner_id, sale.product_id, 1, sale.sold_on, sale.reported_at)
