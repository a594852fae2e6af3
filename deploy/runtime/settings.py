"""Settings: one table, each settable by flag and by environment, each knowing where its value came from.

Precedence: flag, then ``STAFFEL_<NAME>``, then (secrets) the file named by ``STAFFEL_<NAME>_FILE``, then the default.
What is empty by default is derived: the embedded part at its port, a database file in the data folder.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from pathlib import Path
from typing import Any

from deploy.runtime.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "STAFFEL_"


class Port(IntEnum):
    """What listens where on one machine, counted from ``--port-base``."""

    PORTAL = 0
    INBOX = 1
    SMTP = 2
    KAFKA = 3
    CONTROLLER = 4
    REGISTRY = 5
    WORKER = 6
    NOTIFICATION = 7
    PAYOUT = 8
    PORTAL_METRICS = 9
    PAYOUT_OFFICE = 10
    NOTIFICATION_OFFICE = 11
    WORKER_2 = 12
    WORKER_3 = 13
    WORKER_4 = 14


def setting(default: Any, help_text: str, *, secret: bool = False) -> Any:
    """One row of the table."""
    return field(default=default, metadata={"help": help_text, "secret": secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process needs to know. Build it with ``load``."""

    data: Path = setting(Path(".staffel"), "Folder for everything the embedded stack writes")
    port_base: int = setting(8400, "First of the fifteen ports used on this machine")
    listen: str = setting("127.0.0.1", "Address that the web pages and metrics listen on")
    office_listen: str = setting("127.0.0.1", "Address on which payout and notification listen to the portal alone")
    clock: str = setting("", "Start the test clock at this instant, e.g. 2026-10-01T00:00:00Z (empty: real time)")
    clock_rate: float = setting(1.0, "How much faster than real time the test clock runs")
    programme: str = setting("", "Programme file (empty: the one that ships)")
    accounts: str = setting("", "Chart of accounts for the DATEV export (empty: the one that ships, SKR 03)")
    kafka: str = setting("", "Bootstrap servers of Kafka (empty: the embedded broker)")
    registry_url: str = setting("", "Schema registry with Confluent's API (empty: the embedded one)")
    smtp_url: str = setting(
        "", "smtp://[user:password@]host:port or smtps://… (empty: the embedded mail catcher)", secret=True
    )
    portal_db_url: str = setting("", "SQLAlchemy URL of the portal's database (empty: a SQLite file)", secret=True)
    notification_db_url: str = setting("", "The same for notification", secret=True)
    payout_db_url: str = setting("", "The same for payout", secret=True)
    public_url: str = setting("", "Address under which partners reach the portal (empty: this machine)")
    payout_office_url: str = setting("", "Where the portal finds payout's office (empty: this machine)")
    notification_office_url: str = setting("", "Where it finds notification's (likewise)")
    payments: str = setting("", "Folder for payment files (empty: DATA/payments)")
    bank_answers: str = setting("", "Folder that the bank's answers are read from (empty: DATA/bank)")
    bank_silence_hours: int = setting(24, "Hours of bank days after which a bank that says nothing is told of")
    statements: str = setting("", "Folder for the partners' statements (empty: DATA/statements)")
    uploads: str = setting("", "Folder for the files that partners send in (empty: DATA/uploads)")
    upload_scanner: str = setting(
        "", "Command that gets the path of such a file and ends with 0 if it is harmless (empty: none)"
    )
    topic_prefix: str = setting("staffel.", "Put before every topic's name")
    workers: int = setting(1, "Stream processors that up runs, at most four; each can keep a processor core busy")
    worker_port: int = setting(0, "Port of a stream processor's health and metrics (0: the seventh from port_base)")
    partitions: int = setting(4, "Partitions of each topic; can't be changed once they exist")
    app_id: str = setting("staffel", "Name of the stream's consumer group and of its transactions")
    dead_letters_percent_max: int = setting(
        20, "Share of a partition's sales that may be unreadable before its worker stops, in percent (0: any)"
    )
    dead_letters_excess_max: int = setting(200, "It stops at so many dead letters more than that share")
    replication: int = setting(1, "Replicas of each topic; 3 in production")
    single_node: bool = setting(True, "Accept a broker without replicas; say false in production")
    mail_from: str = setting("Partner Programme <partner@staffel.example>", "Sender of the mails")
    bounce_address: str = setting("", "Mailbox that undeliverable mail returns to, e.g. bounces@vendor.example")
    mail_senders: int = setting(4, "Connections to the mail server at a time")
    mail_per_minute: int = setting(0, "Mails a minute at most (0: as fast as the server takes them)")
    tier_mail_wait_seconds: int = setting(
        60, "After a tier alert, collect a partner's further ones so long into one mail, in programme time"
    )
    quiet_hours: str = setting("", "Hours without weekly mails, programme time, e.g. 20-7")
    weekly_spread_minutes: int = setting(0, "Spread the weekly mails over so many minutes, programme time")
    near_units: int = setting(3, "How few missing units make the next tier near, so that its partner is told; 0: never")
    near_weeks: int = setting(4, "How many weeks before the end of a quarter that begins")
    debtor_name: str = setting("Staffel Hardware GmbH", "Account holder in payment files")
    debtor_iban: str = setting("DE02120300000000202051", "Account that the rebates are paid from")
    debtor_town: str = setting("Berlin", "Town of the account holder; accounts outside the EEA demand it")
    debtor_country: str = setting("DE", "Country of the account holder, two letters")
    vendor_name: str = setting("", "Vendor on statements (empty: the account holder)")
    vendor_address: str = setting("", "His address there, lines parted by ; (empty: the account holder's town)")
    vendor_logo: str = setting("", "His logo in the head of the pages, a PNG or SVG file (empty: a drawn stair)")
    vendor_colour: str = setting("", "His colour on the pages, like #0b6b5d, dark enough to read on white")
    imprint: str = setting("", "Text file (Markdown) that the pages show as imprint (empty: none)")
    privacy: str = setting("", "Text file (Markdown) that the pages show as privacy notice (empty: none)")
    vendor_vat_id: str = setting("", "His VAT id there (empty: none is printed)")
    live_streams: int = setting(5000, "Pages that may be open and update by themselves at a time; each is a connection")
    link_hours: int = setting(24 * 14, "How long a personal link stays valid, in hours of real time")
    payout_hour: int = setting(
        10, "Hour of a bank day, programme time, at which payable rebates go into a payment file"
    )
    operator: str = setting("", "Your name, recorded with what you enter, approve or lift")
    bank_details_days: int = setting(3, "Bank days for which nothing is paid to bank details that were changed")
    bank_details_days_first: int = setting(0, "The same for a partner's first bank details")
    anomaly_factor: float = setting(
        3.0, "Hold a rebate for more units than so many times the partner's average quarter (0: never)"
    )
    anomaly_last_days_percent: int = setting(
        25, "Hold a rebate whose tier the quarter's last two days just reached, with so many percent of it (0: never)"
    )
    payout_automatic_euros: int = setting(
        1_000_000, "Payment runs up to this sum are released without a person; say 0 in production"
    )
    payout_second_approval_euros: int = setting(10_000, "Payment runs above this sum need a second person's approval")
    batch_booking: bool = setting(False, "Ask the bank for one booking a run instead of one a payment")
    link_secret: str = setting("", "Key that signs personal links (empty: made and kept in DATA/secrets)", secret=True)
    session_secret: str = setting("", "Key that signs portal sessions (likewise)", secret=True)
    office_secret: str = setting(
        "", "Key of what the portal says to payout and notification (likewise); all three need the same", secret=True
    )
    bank_key: str = setting(
        "",
        "Key that encrypts bank details at rest (likewise); NEW,OLD while it is changed",
        secret=True,
    )
    webhook_key: str = setting("", "Key that encrypts webhook secrets at rest (likewise)", secret=True)
    factor_key: str = setting("", "Key that encrypts the secrets of second factors at rest (likewise)", secret=True)
    proxies: str = setting(
        "", "Proxies in front of the portal whose X-Forwarded-For is believed: addresses or networks, comma separated"
    )
    oidc_issuer: str = setting("", "OpenID Connect provider at which staff signs in, https://… (empty: passwords here)")
    oidc_client_id: str = setting("", "What the provider calls the portal")
    oidc_client_secret: str = setting("", "What the portal shows the provider (empty: PKCE alone)", secret=True)
    oidc_role_claim: str = setting("groups", "Claim of the provider's token that names somebody's groups")
    oidc_roles: str = setting("", "Which groups may do what, e.g. approver=channel-approvers,viewer=sales")
    oidc_name_claim: str = setting("preferred_username", "Claim of the name that is kept at somebody's first sign-in")
    oidc_and_passwords: bool = setting(False, "Let staff sign in with a password here beside the provider")
    portal_allow_insecure: bool = setting(
        False, "Let the portal listen beyond this machine without https and with secrets of its own: for trying it out"
    )
    webhook_ports: str = setting("443,8443", "Ports that webhooks may be sent to")
    webhook_allow_insecure: bool = setting(
        False, "Let webhooks go to http, to this machine and private networks: for trying them out"
    )
    api_per_minute: int = setting(600, "Questions a minute that one token may ask the JSON interface (0: any number)")
    staff_urls: str = setting(
        "", "Where staff is alerted: addresses as Apprise reads them, comma separated (empty: nowhere)", secret=True
    )
    log_format: str = setting("json", "json or text")
    log_level: str = setting("info", "debug, info, warning or error")

    def port(self, port: Port) -> int:
        """The number of a port."""
        return self.port_base + port


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and, for each, where its value came from: ``flag``, a variable, ``default`` or ``derived``."""

    settings: Settings
    sources: Mapping[str, str]


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read the settings. ``flags`` holds what the command line said; None values count as unsaid.

    Raises UsageError for a value that does not fit or an unknown ``STAFFEL_`` variable.
    """
    flags = {name: value for name, value in (flags or {}).items() if value is not None}
    environ = os.environ if environ is None else environ
    table = {f.name: f for f in fields(Settings)}
    _refuse_unknown(environ, table)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, row in table.items():
        variable = PREFIX + name.upper()
        if name in flags:
            raw, sources[name] = flags[name], "flag"
        elif variable in environ:
            raw, sources[name] = environ[variable], variable
        elif row.metadata["secret"] and f"{variable}_FILE" in environ:
            raw, sources[name] = _read_secret(Path(environ[f"{variable}_FILE"])), f"{variable}_FILE"
        else:
            raw, sources[name] = row.default, "default"
        values[name] = _parse(name, raw, type(row.default))
    _derive(values, sources)
    return Loaded(Settings(**values), sources)


def _refuse_unknown(environ: Mapping[str, str], table: Mapping[str, Any]) -> None:
    known = {PREFIX + name.upper() for name in table} | {
        f"{PREFIX}{name.upper()}_FILE" for name, row in table.items() if row.metadata["secret"]
    }
    for variable in environ:
        # STAFFEL_TEST_… steers our tests, STAFFEL_MAVEN_… and STAFFEL_JAVA the fetching of the embedded stack.
        if not variable.startswith(PREFIX) or variable in known or variable in OTHER_VARIABLES:
            continue
        if variable.startswith(PREFIX + "TEST_"):
            continue
        near = difflib.get_close_matches(variable, known, 1)
        raise UsageError(
            f"{variable} is not a setting of Staffel",
            f"did you mean {near[0]}?" if near else "see ./staffel config show",
        )


OTHER_VARIABLES = {
    "STAFFEL_JAVA": "A Java runtime (21 or newer) to use instead of the one that ships",
    "STAFFEL_MAVEN_REPO": "A mirror of Maven Central to fetch the embedded stack from",
    "STAFFEL_CACHE": "Folder for downloads (default: the user's cache folder)",
    "STAFFEL_VENV": "Folder of the Python environment (default: .venv beside the launcher)",
}


def _parse(name: str, raw: Any, kind: type[Any]) -> Any:
    try:
        if kind is bool and isinstance(raw, str):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[raw.lower()]
        if issubclass(kind, Path):
            return Path(raw)
        return kind(raw)
    except (ValueError, KeyError):
        raise UsageError(f"{name} can't be {raw!r}", f"it wants a {kind.__name__}") from None


def _derive(values: dict[str, Any], sources: dict[str, str]) -> None:
    base, data = values["port_base"], values["data"]
    if not 1024 <= base <= 65_500:
        raise UsageError(f"port_base can't be {base}", "choose a number between 1024 and 65500")
    derived = {
        "programme": str(ROOT / "programme.toml"),
        "accounts": str(ROOT / "services" / "payout" / "books" / "accounts.toml"),
        "kafka": f"127.0.0.1:{base + Port.KAFKA}",
        "worker_port": base + Port.WORKER,
        "registry_url": f"http://127.0.0.1:{base + Port.REGISTRY}/apis/ccompat/v7",
        "smtp_url": f"smtp://127.0.0.1:{base + Port.SMTP}",
        "public_url": f"http://127.0.0.1:{base + Port.PORTAL}",
        "payout_office_url": f"http://127.0.0.1:{base + Port.PAYOUT_OFFICE}",
        "notification_office_url": f"http://127.0.0.1:{base + Port.NOTIFICATION_OFFICE}",
        "payments": str(data / "payments"),
        "bank_answers": str(data / "bank"),
        "statements": str(data / "statements"),
        "uploads": str(data / "uploads"),
        "vendor_name": values["debtor_name"],
        "vendor_address": values["debtor_town"],
        **{f"{service}_db_url": f"sqlite:///{data / service}.db" for service in ("portal", "notification", "payout")},
    }
    for name, value in derived.items():
        if not values[name]:
            values[name], sources[name] = value, "derived"


def secret(settings: Settings, name: str) -> str:
    """A secret's value: as set, else made once and kept readable for the owner alone in ``DATA/secrets``."""
    value = str(getattr(settings, name))
    if value:
        return value
    folder = settings.data / "secrets"
    path = folder / name
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_secret(path)
    return _read_secret(path)


def _make_secret(path: Path) -> None:
    """Written beside and linked: of processes that start together, each finds the same one, and whole."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _read_secret(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise UsageError(f"can't read the secret in {path}: {error.strerror}") from None
