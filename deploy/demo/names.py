"""Names for made-up resellers. Our own lists, so that a seed gives the same partners for ever."""

from __future__ import annotations

import unicodedata
from random import Random
from typing import NamedTuple


class Land(NamedTuple):
    """How resellers of a country are called, written to and paid."""

    weight: int
    """How many of a hundred partners live there."""
    language: str
    mailbox: str
    places: tuple[str, ...]
    trades: tuple[str, ...]
    forms: tuple[str, ...]


LANDS = {
    "DE": Land(
        38,
        "de",
        "einkauf",
        ("Alster", "Isar", "Havel", "Neckar", "Fulda", "Harz", "Rhön", "Eifel", "Nordheide", "Münster", "Süderelbe"),
        ("Systemhaus", "Datentechnik", "Bürotechnik", "Computer", "IT-Service", "Netzwerke", "EDV-Beratung"),
        ("GmbH", "GmbH & Co. KG", "e. K.", "AG", "OHG"),
    ),
    "AT": Land(
        9,
        "de",
        "einkauf",
        ("Donau", "Enns", "Mur", "Wachau", "Salzach", "Bregenz", "Kärnten"),
        ("Datensysteme", "EDV", "IT-Lösungen", "Computerhaus"),
        ("GmbH", "KG", "OG"),
    ),
    "CH": Land(
        7,
        "de",
        "einkauf",
        ("Aare", "Reuss", "Limmat", "Engadin", "Jura", "Thur"),
        ("Informatik", "Datatec", "Systems", "Bürotechnik"),
        ("AG", "GmbH"),
    ),
    "FR": Land(
        13,
        "fr",
        "achats",
        ("Loire", "Garonne", "Vosges", "Ardèche", "Côte d'Opale", "Bretagne", "Rhône"),
        ("Informatique", "Bureautique", "Réseaux", "Solutions"),
        ("SARL", "SAS", "SA"),
    ),
    "NL": Land(
        9,
        "nl",
        "inkoop",
        ("Amstel", "Maas", "Veluwe", "IJssel", "Zeeland", "Twente"),
        ("Automatisering", "Kantoor", "Computers", "ICT"),
        ("B.V.", "V.O.F."),
    ),
    "IT": Land(
        8,
        "it",
        "acquisti",
        ("Adige", "Brenta", "Maremma", "Trebbia", "Garda"),
        ("Informatica", "Sistemi", "Ufficio", "Reti"),
        ("S.r.l.", "S.p.A."),
    ),
    "ES": Land(
        6,
        "es",
        "compras",
        ("Ebro", "Duero", "Montseny", "Sierra", "Mediterráneo"),
        ("Informática", "Sistemas", "Redes", "Ofimática"),
        ("S.L.", "S.A."),
    ),
    "BE": Land(
        4, "nl", "inkoop", ("Schelde", "Leie", "Kempen"), ("Computers", "Kantoortechniek", "Netwerken"), ("BV", "NV")
    ),
    "SE": Land(4, "en", "purchasing", ("Mälaren", "Göta", "Öresund"), ("Data", "Kontorsteknik", "IT-partner"), ("AB",)),
    "IE": Land(2, "en", "purchasing", ("Shannon", "Liffey", "Corrib"), ("Computing", "Office Systems"), ("Ltd",)),
}
OUTSIDE = Land(0, "en", "zakupy", ("Wisła", "Mazury", "Bieszczady"), ("Komputery", "Systemy"), ("sp. z o.o.", "s.c."))
"""A country in which there is no programme, though somebody registered there."""
OUTSIDE_COUNTRY = "PL"


def reseller(random: Random, land: Land, taken: set[str]) -> tuple[str, str]:
    """A name that nobody has yet, and its mail address at a domain that can't exist."""
    while True:
        name = f"{random.choice(land.places)} {random.choice(land.trades)} {random.choice(land.forms)}"
        if name in taken:  # a few hundred partners need more than the lists hold: branches, then
            name = name.replace(" ", f" {random.choice(('Nova', 'Delta', 'City', 'Pro', 'Plus', 'Net'))} ", 1)
        if name in taken:
            name = f"{name.split(' ', 1)[0]} {random.randrange(2, 100)} {name.split(' ', 1)[1]}"
        if name not in taken:
            taken.add(name)
            return name, f"{land.mailbox}@{slug(name)}.example"


def slug(name: str) -> str:
    """The name in the letters of a host name: ``Rhön Computer GmbH`` is ``rhoen-computer-gmbh``."""
    folded = name.lower()
    for letter, plain in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"), ("ł", "l"), ("'", "-")):
        folded = folded.replace(letter, plain)
    folded = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    kept = "".join(letter if letter.isalnum() else "-" for letter in folded)
    return "-".join(part for part in kept.split("-") if part)
