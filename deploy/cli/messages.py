"""``messages``: the mails to partners. Each command is written in a ``messages_…`` module."""

from __future__ import annotations

import typer

from deploy.cli import messages_bounces, messages_operator, messages_samples

app = typer.Typer(rich_markup_mode=None)
messages = typer.Typer(rich_markup_mode=None, help="The mails to partners.", no_args_is_help=True)
app.add_typer(messages, name="messages")
for _module in (messages_operator, messages_bounces, messages_samples):
    messages.registered_groups += _module.app.registered_groups
    messages.registered_commands += _module.app.registered_commands
