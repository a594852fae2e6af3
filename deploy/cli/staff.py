"""``staff``: the vendor's people who sign in to the portal, and what they may do."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli import output
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import Exit, UsageError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from sqlalchemy import Connection

app = typer.Typer(rich_markup_mode=None)
staff_app = typer.Typer(rich_markup_mode=None, help="The vendor's people who sign in to the portal.")
app.add_typer(staff_app, name="staff")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user name: small letters, digits, dots, hyphens.")]
RoleFlag = Annotated[
    str, typer.Option("--role", help="viewer (looks), operator (prepares and answers) or approver (approves, too).")
]
PasswordFlag = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from stdin instead of asking for it.")
]
_EXITS = (Exit.NOT_READY,)


@staff_app.command(
    epilog=ending(
        "./staffel staff add anna --role approver",
        "./staffel staff add bo --role operator --password-stdin < password.txt",
        exits=_EXITS,
    )
)
@takes_settings("data")
def add(loaded: Loaded, name: Name, role: RoleFlag = "viewer", password_stdin: PasswordFlag = False) -> None:
    """Enter somebody and set a password: at least 12 characters, not a common word with digits.

    A payment run needs two people: one prepares it, another approves it.
    """
    from services.portal.identity import staff

    name, wanted = staff.read_name(name), staff.read_role(role)
    password = _password(password_stdin)
    with _database(loaded) as connection:
        staff.add(connection, name, password, wanted, _by())
    print(f"{name} may sign in as {role}: {loaded.settings.public_url.rstrip('/')}/sign-in")


@staff_app.command("list", epilog=ending("./staffel staff list", "./staffel staff list --json", exits=_EXITS))
@takes_settings("data")
def list_staff(loaded: Loaded, as_json: JsonFlag = False) -> None:
    """Show who may sign in, as what, with which second factor, and when he last did."""
    from services.portal.auth import Role
    from services.portal.identity import proof, staff

    with _database(loaded) as connection:
        found = [
            {
                "name": row.name,
                "role": Role(row.role).name.lower(),
                "disabled": row.disabled,
                "second_factors": [factor.kind for factor in proof.listed(connection, staff.owner_of(row.name))],
                "signed_in_at": row.signed_in_at,
            }
            for row in staff.everybody(connection)
        ]
        found += [
            {
                "name": row.name,
                "role": "as the provider says",
                "disabled": row.disabled,
                "second_factors": ["the provider's"],
                "signed_in_at": None,
            }
            for row in staff.of_the_provider(connection)
        ]
    if as_json:
        output.print_json({"staff": found})
        return
    rows = [
        (
            str(one["name"]),
            str(one["role"]) + (" (disabled)" if one["disabled"] else ""),
            ", ".join(one["second_factors"]) or "none",
            f"{one['signed_in_at']:%Y-%m-%d %H:%M}" if one["signed_in_at"] else "",
        )
        for one in found
    ]
    print(output.table(("name", "role", "second factor", "last sign-in (UTC)"), rows))


@staff_app.command(epilog=ending("./staffel staff role bo --role viewer", exits=_EXITS))
@takes_settings("data")
def role(loaded: Loaded, name: Name, role: RoleFlag) -> None:
    """Let somebody do more, or less. It ends all his sessions."""
    from services.portal.identity import staff

    with _database(loaded) as connection:
        staff.change_role(connection, staff.read_name(name), staff.read_role(role), _by())
    print(f"{name} is {role} from the next sign-in on")


@staff_app.command(epilog=ending("./staffel staff password anna", exits=_EXITS))
@takes_settings("data")
def password(loaded: Loaded, name: Name, password_stdin: PasswordFlag = False) -> None:
    """Set another password. It ends all sessions of that person."""
    from services.portal.identity import staff

    given = _password(password_stdin)
    with _database(loaded) as connection:
        staff.change_password(connection, staff.read_name(name), given, _by())
    print(f"{name} has another password")


@staff_app.command(epilog=ending("./staffel staff disable bo", exits=_EXITS))
@takes_settings("data")
def disable(loaded: Loaded, name: Name) -> None:
    """Shut somebody out, at once: all his sessions end. It holds for people of the identity provider, too."""
    from services.portal.identity import staff

    with _database(loaded) as connection:
        ended = staff.disable(connection, name, _by())
    print(f"{name} may not sign in any more; {ended} sessions ended")


@staff_app.command(epilog=ending("./staffel staff enable bo", exits=_EXITS))
@takes_settings("data")
def enable(loaded: Loaded, name: Name) -> None:
    """Let somebody in again who was shut out."""
    from services.portal.identity import staff

    with _database(loaded) as connection:
        staff.enable(connection, name, _by())
    print(f"{name} may sign in again")


@staff_app.command("forget-factors", epilog=ending("./staffel staff forget-factors anna", exits=_EXITS))
@takes_settings("data")
def forget_factors(loaded: Loaded, name: Name) -> None:
    """Forget the passkeys and apps of somebody who has lost them, and end his sessions.

    His password alone opens his account then, until he has set up another: make sure that it is he who asks.
    """
    from services.portal.identity import staff

    with _database(loaded) as connection:
        found = staff.forget_factors(connection, staff.read_name(name), _by())
    print(f"{found} second factors of {name} are forgotten")


def _password(from_stdin: bool) -> str:
    """The password, asked for twice without showing it."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for a password", "add --password-stdin")
    first = getpass.getpass("Password: ")
    if getpass.getpass("The same once more: ") != first:
        raise UsageError("the two are not the same; nothing was done")
    return first


def _by() -> str:
    """Who gives the order, for the record: whoever may write the database may do all of this."""
    return f"operator {getpass.getuser()}"


@contextmanager
def _database(loaded: Loaded) -> Iterator[Connection]:
    """The portal's database, in one transaction."""
    from services.portal.queries import open_database

    engine = open_database(loaded.settings)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
