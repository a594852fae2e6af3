"""``docker-compose.yml`` as Docker reads it: merged, its variables filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deploy.runtime.settings import ROOT

FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / "deploy" / "compose" / "env.example"
OURS = ("topics", "worker", "notification", "payout", "portal", "cli", "mail")
PROCESSES = ("worker", "notification", "payout", "portal")
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def services(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services. Raises KeyError for a variable that must be set and is not."""
    found: dict[str, dict[str, Any]] = _filled(yaml.safe_load(FILE.read_text("utf-8"))["services"], variables)
    return found


def variables() -> Iterator[tuple[str, str, str]]:
    """Each variable's name, how it behaves when unset (``?`` refuses, ``-`` has a default), and the rest."""
    for match in _VARIABLE.finditer(FILE.read_text("utf-8")):
        yield match[1], match[2] or "", match[3] or ""


def filled_in() -> dict[str, str]:
    """The example environment with every secret made up."""
    secrets = {
        name: f"{name.lower()}-0123456789-0123456789-0123456789" for name, value in example().items() if not value
    }
    return {**example(), **secrets, "DEBTOR_IBAN": "DE02120300000000202051", "DEBTOR_NAME": "Staffel Hardware GmbH"}


def example(with_commented: bool = False) -> dict[str, str]:
    """What ``env.example`` sets; on request also what it only mentions."""
    pattern = r"^#?([A-Z_]+)=(.*)$" if with_commented else r"^([A-Z_]+)=(.*)$"
    return dict(re.findall(pattern, EXAMPLE.read_text("utf-8"), re.M))


def _filled(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {name: _filled(inner, variables) for name, inner in node.items()}
    if isinstance(node, list):
        return [_filled(inner, variables) for inner in node]
    return _VARIABLE.sub(lambda match: _value(match, variables), node) if isinstance(node, str) else node


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, behaviour, rest = match.groups()
    if value := variables.get(name):
        return value
    if behaviour == "-":
        return str(rest)
    raise KeyError(f"{name}: {rest}")
