"""What the code exports, and what a query asks for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Any

import promql_parser
from prometheus_client import REGISTRY

import services
import streams

# Made by Prometheus itself, and the labels that it adds when it scrapes.
PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity"}}
SCRAPED = {"job", "instance"}
# Of what the client library exports by itself, what means something to us.
LIBRARY = {"process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"}


@cache
def ours() -> dict[str, Any]:
    """Every metric that our processes define, by the name it is declared with, without a counter's ``_total``."""
    for package in (streams, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith((".metrics", "services.kit.consumer")):
                importlib.import_module(module.name)
    collectors: list[Any] = list(REGISTRY._names_to_collectors.values())
    return {collector._name: collector for collector in collectors if hasattr(collector, "_labelnames")}


@cache
def series() -> dict[str, set[str]]:
    """Every series name that can be asked for, with its labels."""
    found = dict(PROMETHEUS) | dict.fromkeys(LIBRARY, SCRAPED)
    for name, collector in ours().items():
        labels = {*collector._labelnames, *SCRAPED}
        match collector._type:
            case "counter":
                found[f"{name}_total"] = labels
            case "histogram":
                found |= {f"{name}_count": labels, f"{name}_sum": labels, f"{name}_bucket": labels | {"le"}}
            case _:
                found[name] = labels
    return found


def selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each series that a query selects, with its matchers. Raises ValueError if the query is no PromQL."""
    for variable in ("$__rate_interval", "$__range", "$__interval"):
        expression = expression.replace(variable, "5m")
    found: list[tuple[str, dict[str, str]]] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((str(node.name), {matcher.name: matcher.value for matcher in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(expression), visit)
    yield from found
