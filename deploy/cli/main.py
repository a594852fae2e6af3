"""The command line's table of commands. A command's module is imported when it is called, so that help stays quick.

To add a command: write a module with a ``typer.Typer()`` named ``app`` that has the command (or, by ``add_typer``, the
group) under its name, and a row in ``COMMANDS``. Then:

- ``@takes_settings()`` (``deploy.cli.options``) gives a command the flags of the settings; it gets ``loaded: Loaded``.
- ``epilog=ending("./staffel … an example", exits=(Exit.REFUSED,))`` (``deploy.cli.output``) ends its help.
- Results go to stdout. What the user can mend raises ``StaffelError``; ``raise typer.Exit(CODE)`` ends otherwise.
- ``as_json: JsonFlag = False`` (``deploy.cli.options``) for reading commands: errors then are JSON by themselves.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
import typer.core
import typer.main

from deploy.cli import output
from deploy.runtime.errors import Exit, StaffelError, UsageError

PROGRAM = "./staffel"


class Row(NamedTuple):
    """A command: where it is written, and its line in the help."""

    module: str
    summary: str


COMMANDS: dict[str, dict[str, Row]] = {
    "Run": {
        "demo": Row("deploy.cli.demo", "Run a whole quarter through the real thing in two minutes, and check it"),
        "up": Row("deploy.cli.stack", "Start everything on this machine: broker, registry, mail, all processes"),
        "down": Row("deploy.cli.stack", "Stop the stack of a data folder, from another terminal"),
        "clean": Row("deploy.cli.stack", "Delete a stack's data, after asking"),
        "worker": Row("deploy.cli.stack", "Run the stream processor alone"),
        "notification": Row("deploy.cli.stack", "Run the mail service alone"),
        "payout": Row("deploy.cli.stack", "Run the payout service alone"),
        "portal": Row("deploy.cli.stack", "Run the partner portal alone"),
        "clock": Row("deploy.cli.stack", "Show a stack's test clock, or move it forward"),
    },
    "Look": {
        "standing": Row("deploy.cli.data", "What a partner has sold and earned in a quarter"),
        "explain": Row("deploy.cli.explain", "Why a partner's quarter came to its number, down to each sale"),
        "status": Row("deploy.cli.status", "Whether each part of the stack is up and ready"),
        "doctor": Row("deploy.cli.doctor", "Look for what is wrong and say what to do; changes nothing"),
        "verify": Row("deploy.cli.verify", "Count all reports again and compare with what was published"),
        "check": Row("deploy.cli.data", "Check configuration and programme file, then exit"),
        "config": Row("deploy.cli.data", "Show the settings and where each value comes from"),
        "bench": Row("deploy.cli.bench", "Measure how fast this machine does the work"),
        "chaos": Row("deploy.cli.chaos", "Break a stack of its own on purpose, and prove that nothing was lost"),
        "env": Row("deploy.cli.stack", "Print the stack's addresses as export lines for other tools"),
    },
    "Let in": {
        "staff": Row("deploy.cli.staff", "The vendor's people who sign in: add, list, change, shut out"),
    },
    "Pay": {
        "runs": Row("deploy.cli.runs", "See, prepare, approve and release payment runs"),
        "bank": Row("deploy.cli.bank", "Read the bank's answers, and see where the payments stand with it"),
        "holds": Row("deploy.cli.holds", "What holds up payments; block a partner, let a checked payment go"),
        "statements": Row("deploy.cli.statements", "List, show, hand out and check the partners' statements"),
        "ledger": Row("deploy.cli.ledger", "Check the ledger, note where it ends, export it for the bookkeeper"),
        "accrual": Row("deploy.cli.outlook", "What a quarter will probably cost, for the vendor's books"),
        "simulate": Row("deploy.cli.outlook", "What other terms would have cost on a quarter's real sales"),
    },
    "Data": {
        "partners": Row("deploy.cli.data", "Import the partner registry; make a partner's activation code"),
        "bank-details": Row(
            "deploy.cli.data", "Import the partners' bank details, see who changed them, change their key"
        ),
        "sales": Row("deploy.cli.data", "Import reports of sales and returns"),
        "sell": Row("deploy.cli.data", "Send one sale by hand"),
        "take-back": Row("deploy.cli.data", "Send one return by hand"),
        "topics": Row("deploy.cli.data", "Create, show or mend the Kafka topics"),
        "read-model": Row("deploy.cli.read_model", "Check, rebuild or export what the pages are made of"),
        "rebuild": Row("deploy.cli.rebuild", "Make the stream's state anew from what was reported; compare, put right"),
        "replay": Row("deploy.cli.data", "Send dead letters back to where they came from"),
    },
    "Mail": {
        "messages": Row("deploy.cli.messages", "The mails to partners: which, why not, once more; samples of all"),
        "webhooks": Row("deploy.cli.webhooks", "Tell partners' software what happens: endpoints, deliveries, replay"),
    },
}
_ROWS = {name: row for rows in COMMANDS.values() for name, row in rows.items()}


class Commands(typer.core.TyperGroup):
    """The table above as a group: lists without importing, imports what is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_ROWS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        row = _ROWS.get(cmd_name)
        if row is None:
            return None
        module = importlib.import_module(row.module)
        return typer.main.get_group(module.app).commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names: Any = dict.fromkeys(_ROWS)
        self.commands = names  # only for "did you mean"
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, rows in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, row.summary) for name, row in rows.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        from typer._click.shell_completion import CompletionItem

        return [CompletionItem(name, help=row.summary) for name, row in _ROWS.items() if name.startswith(incomplete)]


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    epilog=output.ending(
        "./staffel demo", "./staffel up", "./staffel sales import report.csv", exits=tuple(Exit), title="Try"
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"staffel {output.version()}")
        raise typer.Exit


@app.callback()
def staffel(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
) -> None:
    """Partner rebates on a stream: sale events in; tallies, tier alerts, statements and bank transfers out."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and exit with its code from the one table of exit codes."""
    arguments = sys.argv[1:] if arguments is None else arguments
    code = run(arguments)
    if code == Exit.INTERRUPTED:  # at once: a download under way in a thread would be waited for
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run a command and answer its exit code; every failure is told on stderr."""
    as_json = "--json" in arguments
    logging.lastResort = output.Murmurs()  # a process that logs configures handlers of its own
    try:
        result = typer.main.get_command(app).main(arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else Exit.OK
    except StaffelError as error:
        return output.tell(error, as_json)
    except typer.Abort:
        return output.tell(StaffelError("not confirmed; nothing was done", code="aborted"), as_json)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return Exit.OK
    except typer.TyperException as error:
        return _tell_usage(error, as_json)
    except Exception as error:  # noqa: BLE001  # the last resort: nobody is shown a traceback unasked
        return output.apologise(error, "--debug" in arguments, as_json)


def _tell_usage(error: Any, as_json: bool) -> int:
    context: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(context.get_help(), file=sys.stderr)
        return Exit.USAGE
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    hint = f"see {context.command_path if context else PROGRAM} --help"
    return output.tell(UsageError(message[:1].lower() + message[1:], hint), as_json)
