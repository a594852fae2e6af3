"""``check`` and ``config show``: what is configured, and whether it can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Loaded, Settings

app = typer.Typer(rich_markup_mode=None)
config = typer.Typer(rich_markup_mode=None, help="Show the settings and where each value comes from.")
app.add_typer(config, name="config")
_MASK = "(hidden)"


@config.command("show", epilog=ending("./staffel config show", "./staffel config show --json"))
@takes_settings()
def show(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Show each setting, its value, and whether a flag, a variable or the default says so. Secrets are hidden."""
    rows = {
        row.name: (_shown(loaded, row.name, row.metadata["secret"]), loaded.sources[row.name])
        for row in fields(Settings)
    }
    if as_json:
        output.print_json({name: {"value": value, "source": source} for name, (value, source) in rows.items()})
    else:
        print(output.table(("setting", "value", "from"), [(n, str(v), s) for n, (v, s) in rows.items()]))


@app.command("check", epilog=ending("./staffel check --programme mine.toml"))
@takes_settings()
def check(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Check settings and programme file without connecting to anything, and say what was checked."""
    checks: dict[str, Callable[[Settings], str]] = {
        "programme": _programme,
        "clock": _clock,
        "addresses": _addresses,
        "databases": _databases,
        "mail": _mail,
        "account": _account,
        "payout": _payout,
        "topics": _topics,
        "pages": _pages,
    }
    found = {name: look(loaded.settings) for name, look in checks.items()}
    if as_json:
        output.print_json({"ok": True, "checked": found})
    else:
        print("\n".join(f"{output.paint('ok', 'green')}  {name}: {text}" for name, text in found.items()))


def _shown(loaded: Loaded, name: str, secret: bool) -> str | int | float | bool:
    value = getattr(loaded.settings, name)
    if secret and value and loaded.sources[name] not in ("derived", "default"):
        return _MASK
    return str(value) if isinstance(value, Path) else value


def _programme(settings: Settings) -> str:
    from deploy.runtime.programme import read_programme
    from streams.rules.terms import parse

    programme = read_programme(settings, parse)
    return (
        f"{settings.programme} ({programme.id}): {len(programme.terms)} version(s) of terms, "
        f"{len(programme.products)} products, zone {programme.time_zone}"
    )


def _pages(settings: Settings) -> str:
    from services.portal.brand import read_brand

    brand = read_brand(settings)
    said = {"logo": brand.logo, "colour": brand.colours, "imprint": brand.imprint, "privacy notice": brand.privacy}
    return f"{brand.vendor}: " + (", ".join(name for name, value in said.items() if value) or "as they ship")


def _clock(settings: Settings) -> str:
    from deploy.runtime.clock import clock_file, parse_instant

    if settings.clock_rate <= 0:
        raise UsageError(f"clock_rate can't be {settings.clock_rate:g}", "choose a number above 0")
    if settings.clock:
        start = parse_instant(settings.clock).isoformat()
        return f"a test clock from {start} at {settings.clock_rate:g} times the speed"
    return "the test clock of this stack" if clock_file(settings).exists() else "real time"


def _addresses(settings: Settings) -> str:
    for name, schemes in {
        "registry_url": ("http", "https"),
        "public_url": ("http", "https"),
        "smtp_url": ("smtp", "smtps"),
    }.items():
        parts = urlsplit(str(getattr(settings, name)))
        if parts.scheme not in schemes or not parts.hostname:
            raise UsageError(f"{name} is not an address", f"begin it with {' or '.join(s + '://' for s in schemes)}")
    for server in settings.kafka.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise UsageError(f"kafka can't be {settings.kafka!r}", "write it like host:9092,host:9092")
    return f"Kafka {settings.kafka}, registry {settings.registry_url}, portal {settings.public_url}"


def _databases(settings: Settings) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    kinds = []
    for service in ("portal", "notification", "payout"):
        try:
            kind = make_url(getattr(settings, f"{service}_db_url")).get_backend_name()
        except ArgumentError:
            hint = "write it like postgresql+psycopg://user@host/name"
            raise UsageError(f"{service}_db_url can't be read", hint) from None
        if kind not in ("sqlite", "postgresql"):
            raise UsageError(f"{service}_db_url: no support for {kind}", "use sqlite or postgresql+psycopg")
        kinds.append(f"{service} on {kind}")
    return ", ".join(kinds)


def _mail(settings: Settings) -> str:
    from email.utils import parseaddr

    address = parseaddr(settings.mail_from)[1]
    if "@" not in address or not settings.mail_from.isprintable():
        raise UsageError(f"mail_from can't be {settings.mail_from!r}", "write it like Name <name@company.example>")
    return f"sent as {settings.mail_from}"


def _account(settings: Settings) -> str:
    from schwifty import IBAN
    from schwifty.exceptions import SchwiftyException

    try:
        iban = IBAN(settings.debtor_iban)
    except SchwiftyException as error:
        raise UsageError(f"debtor_iban is not an IBAN: {error}") from None
    return f"payments leave {iban.country_code}…{iban.compact[-4:]} of {settings.debtor_name}"


def _payout(settings: Settings) -> str:
    from services.payout.vault import keys_in

    for name in ("bank_details_days", "bank_details_days_first", "anomaly_factor", "anomaly_last_days_percent"):
        if getattr(settings, name) < 0:
            raise UsageError(f"{name} can't be {getattr(settings, name):g}", "0 turns it off")
    keys = len(keys_in(settings.bank_key)) if settings.bank_key else 1
    return f"bank details lie under {keys} key(s), changed ones wait {settings.bank_details_days} bank days"


def _topics(settings: Settings) -> str:
    if settings.partitions < 1 or settings.replication < 1:
        raise UsageError("partitions and replication begin at 1")
    if settings.replication < 3 and not settings.single_node:
        raise UsageError(
            f"replication is {settings.replication}: one broker's end would lose sales",
            "set it to 3, or say single_node if that is meant",
        )
    return f"{settings.topic_prefix}…, {settings.partitions} partitions, {settings.replication} replica(s)"
