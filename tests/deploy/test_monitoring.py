"""The dashboard and the alerts: each expression parses, and each metric and label is one that the proxy has.

Grafana does not run where the tests run: how the dashboard looks is not tested.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crosswire.proxy.observability.metrics import Metrics

from .programs import DEPLOY, program, run

RULES = DEPLOY / "prometheus-alerts.yml"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))

SCRAPED = {"job", "instance", "le"}
"""Labels that Prometheus adds, and that of a histogram's buckets."""


def names_and_labels() -> dict[str, set[str]]:
    """The labels of each series that `/metrics` can have."""
    found: dict[str, set[str]] = {"up": set()}
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    for family in Metrics().collect():
        for end in ends[family.type]:
            found[family.name + end] = set(family._labelnames)
    return found


SERIES = names_and_labels()


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression of both files, with what it is of."""
    for rule in ALERTS:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


EXPRESSIONS = list(expressions())


@pytest.mark.parametrize(("what", "expression"), EXPRESSIONS)
def test_every_metric_and_label_is_there(what: str, expression: str) -> None:
    names = re.findall(r"\b(?:crosswire_\w+|up)\b", expression)
    assert names
    assert [name for name in names if name not in SERIES] == []
    labels = set().union(*(SERIES[name] for name in names)) | SCRAPED
    grouped = re.findall(r"\b(?:by|without) \(([^)]*)\)", expression)
    matched = re.findall(r"[{,](\w+)(?:=|!=|=~|!~)\"", expression)
    used = {label.strip() for group in grouped for label in group.split(",")} | set(matched)
    assert used - labels == set()


def test_every_alert_says_what_to_do() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    for rule in ALERTS:
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        grouped = {label for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in group.split(", ")}
        named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert named <= (grouped or SCRAPED)


def test_promtool_takes_the_rules() -> None:
    code, text = run(program("promtool"), "check", "rules", str(RULES))
    assert code == 0, text
    assert f"{len(ALERTS)} rules found" in text


def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    """As rules, with Grafana's variables replaced by what it puts there."""
    replaced = [
        expression.replace("$__rate_interval", "1m").replace("$job", "crosswire") for _, expression in EXPRESSIONS
    ]
    rules = [{"record": f"crosswire:panel:{number}", "expr": text} for number, text in enumerate(replaced)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    code, text = run(program("promtool"), "check", "rules", str(file))
    assert code == 0, text
    assert "$" not in "".join(replaced)


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """Four of the rules against made-up series, as promtool's unit tests play them."""

    def series(name: str, values: str) -> dict[str, str]:
        return {"series": name, "values": values}

    def at(alert: str, minute: str, labels: dict[str, str] | None) -> dict[str, Any]:
        wanted = [] if labels is None else [{"exp_labels": labels}]
        return {"eval_time": minute, "alertname": alert, "exp_alerts": wanted}

    severity = {rule["alert"]: rule["labels"]["severity"] for rule in ALERTS}
    annotations = {rule["alert"]: rule["annotations"] for rule in ALERTS}
    good, bad = 'job="crosswire",outcome="answered"', 'job="crosswire",outcome="internal"'
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    series('up{job="crosswire",instance="a"}', "1x5 0x10"),
                    series('crosswire_breaker_state{job="crosswire",backend="b"}', "0x5 2x10"),
                    series(f"crosswire_requests_total{{{good}}}", "0+60x20"),
                    series(f"crosswire_requests_total{{{bad}}}", "0+1x20"),
                ],
                "alert_rule_test": [
                    at("CrosswireDown", "5m", None),
                    at("CrosswireDown", "8m", {"severity": "critical", "job": "crosswire", "instance": "a"}),
                    at("CrosswireBreakerOpen", "6m", None),
                    at("CrosswireBreakerOpen", "9m", {"severity": "warning", "job": "crosswire", "backend": "b"}),
                    at("CrosswireRequestsFail", "15m", None),
                ],
            },
            {
                "interval": "1m",
                "input_series": [
                    series(f"crosswire_requests_total{{{good}}}", "0+80x20"),
                    series(f"crosswire_requests_total{{{bad}}}", "0+20x20"),
                ],
                "alert_rule_test": [
                    at("CrosswireRequestsFail", "15m", {"severity": "critical", "job": "crosswire"}),
                ],
            },
        ],
    }
    filled = {
        "CrosswireDown": {"{{ $labels.instance }}": "a"},
        "CrosswireBreakerOpen": {"{{ $labels.backend }}": "b"},
        "CrosswireRequestsFail": {"{{ $value | humanizePercentage }}": "20%"},
    }
    for test in tests["tests"]:  # type: ignore[attr-defined]
        for case in test["alert_rule_test"]:
            name = case["alertname"]
            for wanted in case["exp_alerts"]:
                assert wanted["exp_labels"]["severity"] == severity[name]
                texts = dict(annotations[name])
                for old, new in filled[name].items():
                    texts = {key: text.replace(old, new) for key, text in texts.items()}
                wanted["exp_annotations"] = texts
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps(tests), "utf-8")
    code, text = run(program("promtool"), "test", "rules", str(file))
    assert code == 0, text


def test_the_dashboard_is_whole() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) - {"__rate_interval"}
    assert used == variables
