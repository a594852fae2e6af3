"""Triggers by which the database keeps what must never change. Used by migrations: what is here stays as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

_KEY_ID_BYTES = 8


def forbid_changes(table: str) -> None:
    """Let rows be added to a table, and nothing else."""
    message = f"{table} is append-only"
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
    )


def allow_resealing_only(table: str) -> None:
    """Like ``forbid_changes``, but the sealed bytes may be replaced by others that begin with another key's id."""
    message = f"{table} is append-only"
    columns = sa.inspect(op.get_bind()).get_columns(table)
    others = ", ".join(column["name"] for column in columns if column["name"] != "sealed")
    same_key = f"substr(NEW.sealed, 1, {_KEY_ID_BYTES}) = substr(OLD.sealed, 1, {_KEY_ID_BYTES})"
    if op.get_bind().dialect.name == "sqlite":
        for name, action in (
            ("update", f"UPDATE OF {others} ON {table}"),
            ("reseal", f"UPDATE OF sealed ON {table} WHEN {same_key}"),
            ("delete", f"DELETE ON {table}"),
        ):
            op.execute(f"CREATE TRIGGER {table}_no_{name} BEFORE {action} BEGIN SELECT RAISE(ABORT, '{message}'); END")
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    for name, action in (
        ("no_update", f"UPDATE OF {others} OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT"),
        ("no_reseal", f"UPDATE OF sealed ON {table} FOR EACH ROW WHEN ({same_key})"),
    ):
        op.execute(f"CREATE TRIGGER {table}_{name} BEFORE {action} EXECUTE FUNCTION {table}_append_only()")


def demand_balance() -> None:
    """A journal out of balance can't be committed. SQLite knows no check at commit: there the ledger's own must do."""
    op.execute(
        "CREATE FUNCTION journal_balances() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT FROM postings WHERE journal = NEW.journal GROUP BY currency HAVING sum(amount_minor) <> 0) "
        "THEN RAISE EXCEPTION 'journal % is out of balance', NEW.journal; END IF; RETURN NULL; END $$"
    )
    op.execute(
        "CREATE CONSTRAINT TRIGGER postings_balance AFTER INSERT ON postings DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION journal_balances()"
    )
