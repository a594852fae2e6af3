"""Commands that bring data in, look at it, or say how things are configured. Each is written in a ``data_…`` module."""

from __future__ import annotations

import typer

from deploy.cli import data_access, data_bank, data_byhand, data_config, data_imports, data_standing, data_topics

app = typer.Typer(rich_markup_mode=None)
for _module in (data_imports, data_access, data_bank, data_byhand, data_standing, data_topics, data_config):
    app.registered_groups += _module.app.registered_groups
    app.registered_commands += _module.app.registered_commands
