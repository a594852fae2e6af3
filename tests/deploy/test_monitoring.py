"""Dashboards and alerts ask for what the code exports, and leave nobody alone with a number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.runtime.settings import ROOT, Port
from services.notification.messages import Kind
from services.notification.tables import DeliveryState, EndpointState
from services.notification.tables import State as MessageState
from services.notification.webhooks.metrics import UNSIGNED
from services.notification.webhooks.schedule import Outcome
from services.payout.states import State as ObligationState
from tests.deploy.compose import filled_in, services
from tests.deploy.metrics import LIBRARY, ours, selectors, series

FOLDER = ROOT / "deploy"
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
BOARDS = {path.stem: json.loads(path.read_text("utf-8")) for path in (FOLDER / "grafana" / "dashboards").glob("*.json")}
PANELS = [(board, panel) for board, content in BOARDS.items() for panel in content["panels"] if panel["type"] != "row"]
RUNBOOK = (FOLDER / "docs" / "runbook.md").read_text("utf-8")
VALUES = {
    ("notification_messages", "state"): {state.value for state in MessageState},
    ("notifications_total", "kind"): {kind.value for kind in Kind},
    ("notifications_total", "result"): {"sent", "retried", "failed", "waiting", "expired", "superseded"},
    ("webhook_attempts_total", "result"): {*(outcome.value for outcome in Outcome), UNSIGNED},
    ("webhook_deliveries", "state"): {state.value for state in DeliveryState},
    ("webhook_endpoints", "state"): {state.value for state in EndpointState},
    ("payout_obligations", "state"): {state.value for state in ObligationState},
    ("payout_bank_silent_payments", "waits_for"): {"answer", "debit"},
}
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
each_panel = pytest.mark.parametrize(
    "panel", [panel for _, panel in PANELS], ids=[f"{board}-{panel['title']}" for board, panel in PANELS]
)


def queries() -> Iterator[tuple[str, str]]:
    """Where each query stands, and the query."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield f"{name}: {panel['title']}", target["expr"]
        for annotation in board["annotations"]["list"]:
            if "expr" in annotation:
                yield f"{name}: {annotation['name']}", annotation["expr"]


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_a_query_selects_series_and_labels_that_exist(where: str, query: str) -> None:
    for name, matchers in selectors(query):
        assert name in series(), f"{where}: nothing exports {name}"
        assert set(matchers) <= series()[name], f"{where}: {name} has no such label"
        for label, value in matchers.items():
            known = VALUES.get((name, label))
            assert known is None or value in known, f"{where}: {name} never has {label}={value}"


def test_every_metric_of_ours_is_shown_or_watched() -> None:
    asked = {name for _, query in queries() for name, _ in selectors(query)}
    unseen = {name for name in ours() if not any(a.startswith(name) for a in asked)}
    assert unseen == set()
    assert asked >= LIBRARY


def test_every_metric_says_what_it_means_and_names_no_partner() -> None:
    for name, metric in ours().items():
        assert len(metric._documentation) > 10, f"{name} needs a help text"
        assert not {"partner", "partner_id", "sale_id", "serial", "email", "name", "iban"} & set(metric._labelnames)


@each_rule
def test_an_alert_says_how_urgent_it_is_what_it_means_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert annotations["runbook_url"] == f"deploy/docs/runbook.md#{rule['alert'].lower()}"
    assert annotations["dashboard_url"].removeprefix("/d/") in {board["uid"] for board in BOARDS.values()}


@each_rule
def test_an_alert_has_its_chapter_in_the_runbook(rule: dict[str, Any]) -> None:
    chapter = re.search(rf"^### {rule['alert']}$(.*?)(?=^##|\Z)", RUNBOOK, re.M | re.S)
    assert chapter, "no chapter"
    for part in ("**Means**", "**Look**", "**Do**"):
        assert part in chapter[1]


def test_the_runbook_has_no_chapter_without_an_alert() -> None:
    assert set(re.findall(r"^### (Staffel\w+)$", RUNBOOK, re.M)) == {rule["alert"] for rule in RULES}


@each_panel
def test_a_panel_explains_itself_and_has_a_unit(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]


@each_panel
def test_a_panel_asks_the_chosen_data_source(panel: dict[str, Any]) -> None:
    for part in (panel, *panel["targets"]):
        assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each_panel
def test_a_gap_is_drawn_as_a_gap(panel: dict[str, Any]) -> None:
    if panel["type"] == "timeseries":
        assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False


@each_board
def test_a_dashboard_can_be_imported_anywhere(board: dict[str, Any]) -> None:
    assert [(v["name"], v["type"]) for v in board["templating"]["list"]] == [("datasource", "datasource")]
    assert board["description"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert {link["url"].removeprefix("/d/") for link in board["links"]} < {b["uid"] for b in BOARDS.values()}


@each_board
def test_panels_lie_side_by_side_and_never_on_each_other(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_prometheus_scrapes_each_process_where_it_answers() -> None:
    jobs = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    found = {}
    for job in jobs:
        for static in job.get("static_configs", []):
            host, port = static["targets"][0].split(":")
            found[host] = int(port)
        for by_name in job.get("dns_sd_configs", []):
            found[by_name["names"][0]] = by_name["port"]
        assert job["job_name"] in found
    assert found == {
        "worker": 8400 + Port.WORKER,
        "notification": 8400 + Port.NOTIFICATION,
        "payout": 8400 + Port.PAYOUT,
        "portal": 8400 + Port.PORTAL_METRICS,
    }


def test_grafana_finds_prometheus_and_the_dashboards_in_their_containers() -> None:
    parts = services(filled_in())
    provisioning = FOLDER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text("utf-8"))["datasources"]
    assert source["url"] == f"http://prometheus:{parts['prometheus']['ports'][0].split(':')[2]}"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "staffel.yml").read_text("utf-8"))["providers"]
    mounts = [mount.split(":") for mount in parts["grafana"]["volumes"] if mount.startswith("./")]
    assert {Path(inside): Path(outside) for outside, inside, _ in mounts} == {
        Path("/etc/grafana/provisioning"): Path("deploy/grafana/provisioning"),
        Path(provider["options"]["path"]): Path("deploy/grafana/dashboards"),
    }
