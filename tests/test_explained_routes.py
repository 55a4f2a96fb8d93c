"""`explain` reports the decision that the proxy made when it served the request: every routing story, every client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from crosswire.conformance.client import CLIENTS
from crosswire.conformance.harness.testbed import route_config
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.loader import load_scenarios
from crosswire.mockserver.scenarios.story import Story
from crosswire.proxy.config import load as load_config
from crosswire.proxy.endpoints.explain import explain

ROOT = Path(__file__).parents[1]
SNAPSHOTS = ROOT / "conformance" / "__snapshots__" / "route"
SCENARIOS = load_scenarios(ROOT / "scenarios")

LEFT_TO_CHANCE = "strategy: weighted"

# strict stories are left out: which fields a backend cannot take is known only after encoding; and what chance decides,
# for which an explanation takes the first
STORIES = [
    story
    for story in SCENARIOS.stories.values()
    if story.proxy is not None and not story.is_strict and LEFT_TO_CHANCE not in Path(story.file).read_text("utf-8")
]


@pytest.mark.parametrize("frontend", MOCK_PROTOCOLS)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_explained_decision_equals_the_recorded_one(story: Story, frontend: str) -> None:
    ask = story.exchanges[0].ask
    text = yaml.safe_dump(route_config(story, SCENARIOS.providers, "http://127.0.0.1:1"), sort_keys=False)
    body = {
        "frontend": frontend,
        "model": ask.model,
        "request": CLIENTS[frontend].build_request([(ask, None)], model=ask.model or "", stream=False, key="any").body,
        "mode": ask.headers.get("x-crosswire-mode"),
        "pin": ask.headers.get("x-crosswire-backend"),
    }
    found = json.loads(json.dumps(explain(load_config(text, story.file, {}), body)))
    views = json.loads((SNAPSHOTS / f"{story.name}.json").read_text("utf-8"))
    decided = next(iter(views.values()))["exchanges"][0]["decision"]
    assert {key: found[key] for key in decided} == decided
