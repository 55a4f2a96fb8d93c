"""What `explain` says of a request is what was decided when it was served: every story of routes, from every client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from conformance.bench import route_config
from mockserver.dialects import DIALECTS
from mockserver.scenario import Story, load
from proxy.config import load as load_config
from proxy.explain import explain

ROOT = Path(__file__).parents[1]
SNAPSHOTS = ROOT / "conformance" / "__snapshots__" / "route"
SCENARIOS = load(ROOT / "scenarios")

# only encoding a request shows what a backend could not take of it, so that strict ones are not explained
STORIES = [story for story in SCENARIOS.stories.values() if story.proxy is not None and not story.is_strict]


@pytest.mark.parametrize("frontend", DIALECTS)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_explained_is_what_was_decided(story: Story, frontend: str) -> None:
    ask = story.exchanges[0].ask
    text = yaml.safe_dump(route_config(story, SCENARIOS.providers, "http://127.0.0.1:1"), sort_keys=False)
    body = {
        "frontend": frontend,
        "model": ask.model,
        "request": DIALECTS[frontend].ask([(ask, None)], model=ask.model or "", stream=False, key="any").body,
        "mode": ask.headers.get("x-crosswire-mode"),
        "pin": ask.headers.get("x-crosswire-backend"),
    }
    found = json.loads(json.dumps(explain(load_config(text, story.file, {}), body)))
    pictures = json.loads((SNAPSHOTS / f"{story.name}.json").read_text("utf-8"))
    decided = next(iter(pictures.values()))["exchanges"][0]["decision"]
    assert {key: found[key] for key in decided} == decided
