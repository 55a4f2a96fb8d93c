"""Drafts a profile by asking a gateway: its lists of models, and a first request of each frontend."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from crosswire.mockserver.scenarios.model import Ask, Text
from crosswire.mockserver.scenarios.provider import Provider

from ..client import CLIENTS
from ..harness.testbed_target import NoAnswer, TargetTestbed

MODEL_LISTS = ("/v1/models", "/models", "/v1beta/models", "/api/tags")
"""Paths at which gateways list their models."""

READY_PATHS = ("/health/liveliness", "/healthz", "/health", "/ready", "/")
"""Paths that answer 200 once a gateway is ready."""

SCHEMA = Path(__file__).parents[2] / "schemas" / "profile.schema.json"
"""The shipped schema of profiles, which the draft names to editors."""

NOT_THERE = (404, 405, 501)
"""Statuses by which a gateway says that it has no such path."""


class Draft(Struct, frozen=True):
    """The answers of a gateway: its models, its readiness path, and the status of each frontend's first request."""

    url: str
    key: str
    models: tuple[str, ...]
    listed_at: str
    ready: str
    statuses: dict[str, int | None]


async def ask_gateway(testbed: TargetTestbed, url: str, key: str) -> Draft:
    """Asks a gateway and returns what it answered."""
    headers = {"authorization": f"Bearer {key}", "x-api-key": key} if key else {}
    models: tuple[str, ...] = ()
    listed_at = ready = ""
    for path in MODEL_LISTS:
        if found := await _listed_models(testbed, url + path, headers):
            models, listed_at = found, path
            break
    for path in READY_PATHS:
        if await _status(testbed, "GET", url + path, {}, b"") == 200:
            ready = path
            break
    statuses: dict[str, int | None] = {}
    for name, client in CLIENTS.items():
        model = models[0] if models else "any-model"
        ask = Ask(user=(Text("Hello!"),))
        request = client.build_request([(ask, None)], model=model, stream=False, key=key)
        statuses[name] = await _status(testbed, request.method, url + request.path, request.headers, request.bytes())
        if statuses[name] in NOT_THERE:
            # a path that is there may still say 404 of the model
            options = await _status(testbed, "OPTIONS", url + request.path, headers, b"")
            statuses[name] = (
                None
                if options in (None, *NOT_THERE)
                or not await _names_the_model(
                    testbed, request.method, url + request.path, request.headers, request.bytes(), model
                )
                else statuses[name]
            )
    return Draft(url, key, models, listed_at, ready, statuses)


async def _status(testbed: TargetTestbed, method: str, url: str, headers: Mapping[str, str], body: bytes) -> int | None:
    try:
        return (await testbed.send(method, url, headers, body)).status
    except NoAnswer:
        return None


async def _names_the_model(
    testbed: TargetTestbed, method: str, url: str, headers: Mapping[str, str], body: bytes, model: str
) -> bool:
    try:
        return model.encode() in (await testbed.send(method, url, headers, body)).body
    except NoAnswer:
        return False


async def _listed_models(testbed: TargetTestbed, url: str, headers: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the names in a list of models, of whichever protocol; none where there is no list."""
    try:
        response = await testbed.send("GET", url, headers, b"")
        value = json.loads(response.body) if response.status == 200 else None
    except (NoAnswer, ValueError):
        return ()
    entries = (value.get("data") or value.get("models")) if isinstance(value, dict) else None
    names = [
        str(entry.get("id") or entry.get("name") or "").removeprefix("models/")
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]
    return tuple(filter(None, names))


def draft_text(draft: Draft, name: str, providers: Mapping[str, Provider]) -> str:
    """Returns the profile as YAML, with a comment wherever a person has to look."""
    lines = [f"# yaml-language-server: $schema={SCHEMA}"] if SCHEMA.is_file() else []
    lines += [f"name: {name}", 'version: ""', f"url: {draft.url}"]
    lines.append(
        f"ready: {draft.ready}" if draft.ready else "# ready: /health        # a path that answers once it is up"
    )
    lines.append("frontends:")
    for frontend, status in draft.statuses.items():
        key = f'{{key: "{draft.key}"}}' if draft.key else "{}"
        if status is None:
            lines.append(f"  # {frontend}: {key}        # no such path; give `path:` where it has another")
        else:
            lines.append(f"  {frontend}: {key}        # answered {status}")
    where = f"it lists {len(draft.models)} at {draft.listed_at}" if draft.models else "it lists none"
    lines += [f"# The mock's providers that it reaches, each model with the gateway's name of it; {where}.", "models:"]
    for provider in providers.values():
        lines += _provider_lines(provider, draft.models)
    lines += [
        "# losses: [x-my-loss]                        # response headers that say what was lost",
        "# headers: {anthropic: {x-provider: anthropic}}   # headers of requests that are meant for a provider",
        "# cannot: [{needs: [audio], why: https://example.com/docs#audio}]",
    ]
    return "\n".join(lines) + "\n"


def _provider_lines(provider: Provider, listed: Sequence[str]) -> list[str]:
    """Returns the rows of a provider's models: those that the gateway lists by such a name, else a comment."""
    rows = []
    for model in provider.models:
        fits = [
            name for name in listed if name == model or name.endswith((f"/{model}", f"/{model.rpartition('/')[2]}"))
        ]
        own = [name for name in fits if provider.name in name.split("/")]
        if own or len(fits) == 1:
            rows.append(f"    {model}: {(own or fits)[0]}")
    if not rows:
        first = next(iter(provider.models), "any-model")
        return [f"  # {provider.name}: {{{first}: ?}}"]
    return [f"  {provider.name}:", *rows]
