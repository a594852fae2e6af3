"""``doctor``: looks at everything that can be wrong, explains it and says the way out. Changes nothing."""

from __future__ import annotations

import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime import kafka
from deploy.runtime.errors import Exit, NotReady, StaffelError
from deploy.runtime.settings import Loaded, Port, Settings

app = typer.Typer(rich_markup_mode=None)

PASS, WARN, FAIL = "pass", "warn", "fail"
_COLOURS = {PASS: "green", WARN: "yellow", FAIL: "red"}
_GB = 1e9


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do if it is not well."""

    what: str
    level: str
    text: str
    hint: str = ""


@app.command(epilog=ending("./staffel doctor", "./staffel doctor --json", exits=(Exit.DIFFERS,)))
@takes_settings("data", "port_base", "programme")
def doctor(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Look for what is wrong, explain it and say the way out. Changes nothing.

    Ends with 5 if something fails; a warning is not a failure.
    """
    found = []
    for finding in examine(loaded):
        found.append(finding)
        if not as_json:
            print(f"{output.paint(finding.level, _COLOURS[finding.level])}  {finding.what}: {finding.text}", flush=True)
            if finding.hint and finding.level != PASS:
                print(f"      {output.paint('hint:', 'cyan')} {finding.hint}")
    failed = sum(finding.level == FAIL for finding in found)
    if as_json:
        output.print_json({"healthy": not failed, "findings": [finding._asdict() for finding in found]})
    else:
        warned = sum(finding.level == WARN for finding in found)
        print(f"\n{len(found)} looked at, {warned} warnings, {failed} failures")
    if failed:
        raise typer.Exit(Exit.DIFFERS)


def examine(loaded: Loaded) -> Iterator[Finding]:
    """All findings, the machine first, then the parts, then what is in them."""
    from deploy.embedded import trouble
    from deploy.embedded.folder import running

    settings = loaded.settings
    is_up = running(settings.data) is not None
    yield _python()
    yield _disk(settings)
    yield _memory()
    yield _java()
    yield _cache()
    yield _ports(loaded, is_up)
    yield _programme(settings)
    reachable = {}
    for name, setting, look in (
        ("kafka", "kafka", trouble.kafka),
        ("registry", "registry_url", trouble.registry),
        ("mail", "smtp_url", trouble.mail),
    ):
        address = str(getattr(settings, setting)).rpartition("@")[2]  # without a password
        finding = _part(name, address, look(settings), embedded=loaded.sources[setting] == "derived", is_up=is_up)
        reachable[name] = finding.level == PASS
        yield finding
    for service in ("portal", "notification", "payout"):
        yield _database(service, getattr(settings, f"{service}_db_url"))
    yield _keys(settings)
    for service in ("payout", "notification"):
        yield _office(service, settings, is_up=is_up)
    yield _uploads(loaded)
    yield _exposure(settings)
    if reachable["kafka"]:
        topics = _topics(settings)
        yield topics
        if topics.level == PASS:
            yield _clock(settings)
    if reachable["registry"]:
        yield _schemas(settings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", PASS, f"{version} in {sys.prefix}")


def _disk(settings: Settings) -> Finding:
    import shutil

    folder = next(path for path in (settings.data.resolve(), *settings.data.resolve().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    level = FAIL if free < 0.3 * _GB else WARN if free < 2 * _GB else PASS
    return Finding("disk", level, f"{free / _GB:.1f} GB free for {settings.data}", "free some, or choose --data DIR")


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    hint = "Kafka, registry and our processes take about 1 GB together"
    return Finding("memory", WARN if free < 1 * _GB else PASS, f"{free / _GB:.1f} GB available", hint)


def _java() -> Finding:
    from deploy.embedded import java

    return _tried("java", lambda: "Java {0.major}, {0.path}".format(java.find()))


def _cache() -> Finding:
    from deploy.embedded import fetch

    folder = fetch.cache_folder()
    if not folder.exists():
        return Finding("downloads", PASS, f"none yet; the first start fetches them into {folder}")
    damaged = fetch.damage()
    if damaged:
        text = f"{len(damaged)} of {len(fetch.read_lock())} in {folder} are missing or damaged, e.g. {damaged[0]}"
        return Finding("downloads", WARN, text, "./staffel up fetches them again")
    return Finding("downloads", PASS, f"whole, by their SHA-256, in {folder}")


def _ports(loaded: Loaded, is_up: bool) -> Finding:
    from deploy.embedded import ports

    base = loaded.settings.port_base
    if is_up:
        return Finding("ports", PASS, f"{base} to {base + max(Port)}, held by the stack that runs")
    taken = [str(base + port) for port in Port if not ports.is_free(base + port)]
    if taken:
        hint = f"--port-base {ports.free_base(base)} is free"
        return Finding("ports", WARN, f"taken by others: {', '.join(taken)}", hint)
    return Finding("ports", PASS, f"{base} to {base + max(Port)} are free")


def _programme(settings: Settings) -> Finding:
    from deploy.runtime.errors import UsageError
    from deploy.runtime.programme import read_programme
    from streams.rules.terms import parse

    try:
        programme = read_programme(settings, parse)
    except UsageError as error:
        return Finding("programme", FAIL, error.message, error.hint)
    text = f"{programme.name}, {len(programme.products)} products, {len(programme.terms)} versions of the terms"
    return Finding("programme", PASS, text)


def _part(name: str, address: str, found: str | None, *, embedded: bool, is_up: bool) -> Finding:
    if found is None:
        return Finding(name, PASS, "answers")
    if embedded and not is_up:
        return Finding(name, WARN, "the embedded one is not running", "start it with ./staffel up")
    hint = "see its log in DATA/logs" if embedded else "check the address in ./staffel config show, and the network"
    return Finding(name, FAIL, f"{address} {found}", hint)


def _database(service: str, url: str) -> Finding:
    what = f"{service}'s database"
    if not url.startswith("sqlite:///"):
        return _tried(what, partial(_ask_server, url))
    path = Path(url.removeprefix("sqlite:///"))
    if not path.exists():
        return Finding(what, PASS, f"{path} is made at the first start")
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            said = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        said = str(error)
    if said == "ok":
        return Finding(what, PASS, f"{path} is sound")
    return Finding(what, FAIL, f"{path}: {said}", "put it aside and restore a backup, or let it be made anew")


def _exposure(settings: Settings) -> Finding:
    """Who can reach the portal, and whether what it says to him is encrypted."""
    from urllib.parse import urlsplit

    from services.portal import exposure

    try:
        exposure.check_exposure(settings)
    except StaffelError as error:
        return Finding("sign-in", FAIL, error.message, error.hint)
    made, is_open = exposure.generated(settings), not exposure.is_local(settings.listen)
    if is_open and settings.portal_allow_insecure:
        hint = "drop STAFFEL_PORTAL_ALLOW_INSECURE"
        return Finding("sign-in", WARN, "the portal may be seen from outside as it is, since it was said", hint)
    if is_open and made:
        hint = "give them to all processes, as deploy/docs/operations.md says"
        return Finding("sign-in", WARN, f"seen from outside with secrets of this machine: {', '.join(made)}", hint)
    if not exposure.is_encrypted(settings) and not exposure.is_local(urlsplit(settings.public_url).hostname or ""):
        hint = "put a proxy with TLS before it and give STAFFEL_PUBLIC_URL=https://…"
        return Finding("sign-in", WARN, f"links and passwords go unencrypted to {settings.public_url}", hint)
    return Finding("sign-in", PASS, f"{settings.public_url}, listening on {settings.listen}")


def _uploads(loaded: Loaded) -> Finding:
    """Whether what partners send in is scanned. Tried with a file of ours, as partners' files are none of doctor's."""
    scanner = shlex.split(loaded.settings.upload_scanner)
    if not scanner:
        level = PASS if loaded.sources["public_url"] == "derived" else WARN
        hint = "" if level == PASS else "give a command in STAFFEL_UPLOAD_SCANNER, see deploy/docs/operations.md"
        return Finding("uploads", level, "not scanned for viruses", hint)
    try:
        done = subprocess.run([*scanner, __file__], capture_output=True, timeout=60, check=False)
        said = "" if done.returncode == 0 else f"ends with {done.returncode} for a harmless file"
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    if said:
        return Finding("uploads", FAIL, f"the scanner does not work: {said}", "until it does, no file is taken")
    return Finding("uploads", PASS, f"scanned by {scanner[0]}")


def _keys(settings: Settings) -> Finding:
    """Whether a key is there for each sealed row. The keys' ids are compared, nothing is opened."""
    from services.payout import resealing
    from services.payout.database import looking
    from services.payout.vault import Vault, keys_in

    made = settings.data / "secrets" / "bank_key"  # not by ``secret``, which would make it
    text = settings.bank_key or (made.read_text("utf-8") if made.exists() else "")
    try:
        vault = Vault(*keys_in(text)) if text else None
        with looking(settings) as connection:
            ids = (vault.key_id, vault.key_ids) if vault else (b"", frozenset[bytes]())
            found = resealing.census(connection, *ids)
    except NotReady:
        return Finding("bank key", PASS, "nothing is sealed yet")
    except StaffelError as error:
        return Finding("bank key", FAIL, error.message, error.hint)
    if found.unknown:
        text = f"{found.unknown:,} sealed bank details and payment files are opened by no key"
        hint = "put the key that is missing behind the first one in STAFFEL_BANK_KEY, with a comma"
        return Finding("bank key", FAIL, text, hint)
    if found.other:
        text = f"{found.other:,} of {found.first + found.other:,} sealed rows still need an older key"
        return Finding("bank key", WARN, text, "./staffel bank-details reseal, then drop the older key")
    return Finding("bank key", PASS, f"opens all {found.first:,} sealed bank details and payment files")


def _office(service: str, settings: Settings, *, is_up: bool) -> Finding:
    """Whether the portal would be answered."""
    from services.kit.office.client import Client
    from services.kit.office.protocol import Actor, Role

    what, address = f"{service}'s office", str(getattr(settings, f"{service}_office_url"))
    if not settings.office_secret and not (settings.data / "secrets" / "office_secret").exists():
        return Finding(what, PASS, "is opened at the first start")  # asking would make the secret
    client = Client(settings, service, address)
    try:
        client.ask(Actor(Role.VIEWER, "doctor"), "hello", object)
    except StaffelError:
        hint = "is it running, has it the same office_secret, and are both clocks right? its log tells"
        return Finding(what, FAIL if is_up else WARN, f"{address} does not answer the portal", hint)
    finally:
        client.close()
    return Finding(what, PASS, "answers")


def _ask_server(url: str) -> str:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(url)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        engine.dispose()
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StaffelError(f"does not answer: {reason}", "check its URL, its password and the network") from None
    return f"{engine.dialect.name} answers"


def _topics(settings: Settings) -> Finding:
    from services.intake import topics

    def look() -> str:
        rows = topics.show(settings)
        missing = [row.name for row in rows if not row.partitions]
        if missing:
            text = f"{len(missing)} of {len(rows)} do not exist, e.g. {missing[0]}"
            raise StaffelError(text, "create them: ./staffel topics create")
        other = [f"{row.name}: {', '.join(row.differences)}" for row in rows if row.differences]
        if other:
            raise StaffelError(
                "; ".join(other),
                "bring them in line: ./staffel topics mend; partitions and replicas: ./staffel topics show",
            )
        return f"{len(rows)} as in the table"

    return _tried("topics", look)


def _schemas(settings: Settings) -> Finding:
    from schemas.codec import Codec, ConfluentRegistry, RegistryAway
    from schemas.topics import TOPICS

    def look() -> str:
        wanted = [topic for topic in TOPICS if topic.events]
        try:
            Codec(ConfluentRegistry(settings.registry_url), settings.topic_prefix).resolve(wanted)
        except LookupError as error:
            raise StaffelError(f"not registered: {error}", "./staffel topics create registers them") from None
        except (RegistryAway, ValueError) as error:
            raise StaffelError(str(error), "see ./staffel status") from None
        return f"{len(wanted)} registered"

    return _tried("schemas", look)


def _clock(settings: Settings) -> Finding:
    """The broker stamps records; one from the future means that its clock and ours disagree."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec

    from deploy.runtime.clock import clock_file
    from deploy.runtime.kafka import partitions_of, reader
    from schemas.topics import TOPICS

    def look() -> str:
        client = reader(settings)
        try:
            names = [topic.full_name(settings.topic_prefix) for topic in TOPICS]
            asked = {
                TopicPartition(name, p): OffsetSpec.max_timestamp()
                for name in names
                for p in partitions_of(client, name)
            }
        finally:
            client.close()
        admin = kafka.admin(settings)
        newest = max(job.result().timestamp for job in admin.list_offsets(asked, request_timeout=10).values())
        ahead = newest / 1000 - time.time()
        if ahead > 5:
            raise StaffelError(f"the broker's newest record lies {ahead:.0f} s in the future", "set both clocks by NTP")
        return "the broker's records are not from the future" + (
            "; this stack runs on a test clock" if clock_file(settings).exists() else ""
        )

    return _tried("clock", look)


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, PASS, look())
    except StaffelError as error:
        return Finding(what, FAIL, error.message, error.hint)
