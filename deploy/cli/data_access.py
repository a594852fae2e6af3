"""``partners activation-code``: what a partner needs to set up his first second factor."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from deploy.cli import output
from deploy.cli.data_imports import partners
from deploy.cli.options import JsonFlag, takes_settings
from deploy.cli.output import ending
from deploy.runtime.clock import RealClock
from deploy.runtime.errors import Exit, StaffelError
from deploy.runtime.settings import Loaded

app = typer.Typer(rich_markup_mode=None)


@partners.command(
    "activation-code", epilog=ending("./staffel partners activation-code P-1001", exits=(Exit.NOT_READY,))
)
@takes_settings("data")
def activation_code(
    loaded: Loaded,
    partner: Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's id.")],
    as_json: JsonFlag = False,
) -> None:
    """Make a code with which a partner sets up his first second factor. Prints it, this once; one of before ends.

    It works once, within 14 days. Hand it over by telephone or by letter, never by mail: it keeps out whoever reads the
    partner's mail.
    """
    from deploy.runtime.programme import read_programme
    from services.portal.identity.activation import make_activation_code
    from services.portal.identity.codes import Codes
    from services.portal.queries import PartnerRows, open_database
    from streams.rules.terms import parse

    programme = read_programme(loaded.settings, parse)
    codes = Codes(RealClock(), loaded.settings, programme.name)
    engine = open_database(loaded.settings)
    try:
        with engine.begin() as connection:
            if PartnerRows(connection, programme.id, partner).partner() is None:
                raise StaffelError(f"the portal knows no partner {partner}", "see ./staffel partners import --help")
            code = make_activation_code(connection, codes, partner, f"operator {getpass.getuser()}")
    finally:
        engine.dispose()
    if as_json:
        output.print_json({"partner": partner, "code": code})
    else:
        print(code)
        output.note("Hand it over by telephone or by letter, never by mail. It works once, within 14 days.")
