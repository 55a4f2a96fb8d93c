"""A vendor's name goes to no other vendor while its own backend is here; `unmapped: refuse` refuses every such name."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.proxy.config import load
from crosswire.proxy.routing import BackendConfig, Decision, Plan, RouteTarget, RoutingInput, decide
from crosswire.proxy.routing.route import Route
from crosswire.proxy.routing.vendors import is_own, vendor_of_name

VENDORS: dict[str, str | None] = {
    "gpt-5": "openai",
    "GPT-5": "openai",
    "gpt-5-nan": "openai",
    "o3-mini": "openai",
    "chatgpt-4o-latest": "openai",
    "text-embedding-3-small": "openai",
    "claude-sonnet-4-5": "anthropic",
    "gemini-2.5-pro": "gemini",
    "grok-4": "xai",
    "gpt-oss-120b": None,
    "gpt-oss:20b": None,
    "llama3.2": None,
    "openchat": None,
    "gpt": None,
    "my-gpt-5": None,
    "text-embedding-004": None,
    "gpt-" + "x" * 300: None,
}


@pytest.mark.parametrize(("name", "vendor"), VENDORS.items())
def test_whose_name_it_is(name: str, vendor: str | None) -> None:
    found = vendor_of_name(name)
    assert (None if found is None else found.name) == vendor


OWN: dict[str, tuple[dict[str, str], bool]] = {
    "by its name": ({"name": "openai"}, True),
    "by its provider": ({"provider": "openai-responses"}, True),
    "by a provider's alias": ({"provider": "openai_responses"}, True),
    "by its address": ({"base_url": "https://eu.api.openai.com/v1"}, True),
    "of Azure": ({"base_url": "https://me.openai.azure.com/openai/v1"}, True),
    "of another": ({"provider": "groq", "base_url": "https://api.groq.com/openai/v1"}, False),
    "of nobody": ({}, False),
    "of a name that looks alike": ({"base_url": "https://notopenai.com"}, False),
}


@pytest.mark.parametrize(("keys", "own"), OWN.values(), ids=list(OWN))
def test_whose_backend_it_is(keys: dict[str, str], own: bool) -> None:
    vendor = vendor_of_name("gpt-5")
    assert vendor is not None
    backend = BackendConfig(**{"name": "b", "protocol": "openai-chat", "base_url": "http://h", **keys})
    assert is_own(vendor, backend) == own


OPENAI = BackendConfig(name="openai", protocol="openai-chat", base_url="http://h", models={"gpt-5-nano": "gpt-5-nano"})
GEMINI = BackendConfig(name="gemini", protocol="gemini", base_url="http://h", default_model="gemini-2.5-flash")
LOCAL = BackendConfig(name="local", protocol="ollama", base_url="http://h", default_model="llama3.2", priority=-1)


def route(match: str, backend: str) -> Route:
    return Route(match=match, targets=(RouteTarget(backend),))


STAYS: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "a misspelt name": ("gpt-5-nan", {}, None),
    "a name that its vendor serves": ("gpt-5-nano", {}, "openai"),
    "a name of the vendor that takes any": ("gemini-3-pro", {}, "gemini"),
    "a name of a vendor that is not here": ("claude-sonnet-4-5", {}, "gemini"),
    "a name of nobody": ("my-model", {}, "gemini"),
    "a name that is open": ("gpt-oss:20b", {}, "gemini"),
    "a name with the suffix of a client": ("gpt-5-nan[1m]", {}, None),
    "a route that names another": ("gpt-5-nan", {"routes": (route("gpt-*", "gemini"),)}, "gemini"),
    "an exact route": ("gpt-5-nan", {"routes": (route("gpt-5-nan", "local"),)}, "local"),
    "the config names a backend for all others": ("gpt-5-nan", {"unmapped": "local"}, "local"),
    "all others are refused": ("my-model", {"refuses_unmapped": True}, None),
    "all others are refused, and not what is served": ("gpt-5-nano", {"refuses_unmapped": True}, "openai"),
    "all others are refused, and the vendor takes any": ("gemini-3-pro", {"refuses_unmapped": True}, None),
    "all others are refused, also from the last resort": (
        "my-model",
        {"refuses_unmapped": True, "last_resort": "local"},
        None,
    ),
}


def decided(model: str, **fields: Any) -> Decision:
    return decide(RoutingInput(model), Plan((OPENAI, GEMINI, LOCAL), **fields))


@pytest.mark.parametrize(("model", "fields", "backend"), STAYS.values(), ids=list(STAYS))
def test_who_answers(model: str, fields: dict[str, Any], backend: str | None) -> None:
    decision = decided(model, **fields)
    assert (None if decision.chosen is None else decision.chosen.backend) == backend
    if backend is None:
        assert decision.refusal is not None
        assert (decision.refusal.status, decision.refusal.kind) == (404, "model_not_found")


def test_the_refusal_names_the_nearest() -> None:
    refusal = decided("gpt-5-nan").refusal
    assert refusal is not None
    assert "did you mean gpt-5-nano?" in refusal.message
    hidden = decided("gpt-5-nan", unlisted=("gpt-*",)).refusal
    assert hidden is not None
    assert "gpt-5-nano" not in hidden.message


def test_a_vendor_that_is_down_is_not_replaced_by_another() -> None:
    open_ended = BackendConfig(name="openai", protocol="openai-chat", base_url="http://h")
    inputs = RoutingInput("gpt-5", down={"openai": "its breaker is open"})
    decision = decide(inputs, Plan((open_ended, GEMINI)))
    assert decision.refusal is not None
    assert (decision.refusal.kind, decision.refusal.status) == ("overloaded", 503)


def test_a_reserved_backend_is_no_reason_to_refuse() -> None:
    reserved = BackendConfig(name="openai", protocol="openai-chat", base_url="http://h", reserved=True)
    assert decide(RoutingInput("gpt-5"), Plan((reserved, LOCAL))).chosen is not None


def test_neither_is_one_without_a_key() -> None:
    keyless = BackendConfig(name="openai", protocol="openai-chat", base_url="http://h", needs_key=True)
    assert decide(RoutingInput("gpt-5"), Plan((keyless, LOCAL))).chosen is not None


def test_another_vendors_answer_is_noted() -> None:
    (note,) = decided("claude-sonnet-4-5").notes
    assert "'gemini' answers" in note
    assert decided("my-model").notes == ()
    assert decided("gpt-5-nano").notes == ()


def test_the_config_says_refuse() -> None:
    text = 'backends: {b: {protocol: ollama, base_url: "http://h"}}\nunmapped: refuse'
    plan = load(text, "c.yaml", {}).plan
    assert (plan.unmapped, plan.refuses_unmapped) == (None, True)
    assert decide(RoutingInput("m"), plan).chosen is None
    assert decide(RoutingInput("b/m"), plan).chosen is not None
