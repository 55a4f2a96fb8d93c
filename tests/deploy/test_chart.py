"""The Helm chart: its values against their schema, and what Helm makes of it, where Helm is installed.

No cluster runs where the tests run: what the objects do in one is not tested.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from crosswire.proxy.config import load
from crosswire.proxy.observability.metrics import Metrics

from ..docs.commands import argument_error
from .programs import DEPLOY, program, run

CHART = DEPLOY / "helm/crosswire"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))

VARIABLES = {
    "CROSSWIRE_ADMIN_KEY": "0123456789abcdef",
    "CROSSWIRE_CLIENT_KEY": "cw-0123456789abcdef",
    "OPENAI_API_KEY": "sk-1",
}

WRONG: list[tuple[str, Mapping[str, Any]]] = [
    ("a replica count in words", {"replicas": "two"}),
    ("a key that no template reads", {"replica": 3}),
    ("an address that only the pod reaches", {"config": {"listen": "127.0.0.1:9001", "backends": {"a": {}}}}),
    ("no backends", {"config": {"listen": "0.0.0.0:9001", "backends": {}}}),
    ("no Secret", {"secretName": ""}),
    ("a state of no known kind", {"state": "memcached://h"}),
    ("a kind of service that is none", {"service": {"type": "Internet"}}),
]


def test_the_values_are_as_their_schema_says() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)
    assert set(VALUES) | {"global"} == set(SCHEMA["properties"])


@pytest.mark.parametrize(("what", "change"), WRONG)
def test_wrong_values_are_refused(what: str, change: Mapping[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**VALUES, **change}, SCHEMA)


@cache
def rendered(*settings: str) -> dict[str, Any]:
    """The objects that Helm makes of the chart with these values, by their kind."""
    words = [word for setting in settings for word in ("--set", setting)]
    code, text = run(program("helm"), "template", "cw", str(CHART), "--namespace", "ai", *words)
    assert code == 0, text
    objects = [each for each in yaml.safe_load_all(text) if each]
    kinds = {each["kind"]: each for each in objects}
    assert len(kinds) == len(objects)
    return kinds


def container(kinds: Mapping[str, Any]) -> dict[str, Any]:
    (found,) = kinds["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_lint() -> None:
    code, text = run(program("helm"), "lint", "--strict", str(CHART))
    assert code == 0, text


def test_helm_refuses_what_the_schema_refuses() -> None:
    code, text = run(program("helm"), "template", "cw", str(CHART), "--set", "state=memcached://h")
    assert code != 0
    assert "state" in text


def test_the_objects() -> None:
    assert set(rendered()) == {"ConfigMap", "Service", "Deployment", "PodDisruptionBudget"}
    extras = ("autoscaling.enabled=true", "podMonitor.enabled=true")
    assert set(rendered(*extras)) == {*rendered(), "HorizontalPodAutoscaler", "PodMonitor"}


def test_the_config_is_one_that_the_proxy_takes() -> None:
    text = rendered()["ConfigMap"]["data"]["crosswire.yaml"]
    config = load(text, "crosswire.yaml", VARIABLES)
    assert (config.settings.host, config.settings.port) == ("0.0.0.0", 9001)  # noqa: S104
    assert "cw.ai.svc" in config.settings.hosts
    assert rendered("state=valkey://valkey:6379/0")["ConfigMap"]["data"]["crosswire.yaml"].count("valkey://") == 1


def test_the_arguments_are_those_of_the_program() -> None:
    assert argument_error(["crosswire", *container(rendered())["args"]]) is None


def test_selectors_find_the_pods() -> None:
    kinds = rendered("autoscaling.enabled=true")
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    for selector in (
        kinds["Service"]["spec"]["selector"],
        kinds["Deployment"]["spec"]["selector"]["matchLabels"],
        kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels
    assert kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == kinds["Deployment"]["metadata"]["name"]


def test_probes_and_rights() -> None:
    found = container(rendered())
    (port,) = found["ports"]
    probes = {kind: found[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/livez",
        "readiness": "/readyz",
        "liveness": "/livez",
    }
    assert all(probe["port"] == port["name"] for probe in probes.values())
    assert found["securityContext"]["readOnlyRootFilesystem"] is True
    assert found["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    pod = rendered()["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["terminationGracePeriodSeconds"] > 60 + 5  # drain_s, and exit_s


def test_it_scales_by_a_metric_that_the_proxy_has() -> None:
    (metric,) = rendered("autoscaling.enabled=true")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] in {family.name for family in Metrics().collect()}
    assert "replicas" not in rendered("autoscaling.enabled=true")["Deployment"]["spec"]
    assert rendered()["Deployment"]["spec"]["replicas"] == 2


def test_another_config_starts_other_pods() -> None:
    def checksum(kinds: Mapping[str, Any]) -> str:
        return str(kinds["Deployment"]["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    assert checksum(rendered()) != checksum(rendered("config.drain_s=30"))
