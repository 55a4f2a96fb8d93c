"""The metrics: their names, and that no label is ever what a client typed."""

from __future__ import annotations

import re

from crosswire.proxy.ir import Loss, Usage
from crosswire.proxy.observability.metrics import Metrics
from crosswire.proxy.observability.request_record import Attempt, Record
from crosswire.proxy.routing import Candidate, Decision

from ..proxy_fixture import config, one, stage
from ..sample_messages import PROTOCOLS, ask, dumps, path, reply, stream, stream_kind
from ..scripted_upstream import chunked, http, upstream

FAMILIES = {
    "crosswire_rate_limit": "gauge",
    "crosswire_rate_limit_remaining": "gauge",
    "crosswire_websockets": "gauge",
    "crosswire_client_requests": "counter",
    "crosswire_cost_dollars": "counter",
    "crosswire_budget_spent_dollars": "gauge",
    "crosswire_budget_dollars": "gauge",
    "crosswire_usage_waiting": "gauge",
    "crosswire_requests": "counter",
    "crosswire_routing_decisions": "counter",
    "crosswire_losses": "counter",
    "crosswire_attempts": "counter",
    "crosswire_failovers": "counter",
    "crosswire_upstream_seconds": "histogram",
    "crosswire_breaker_state": "gauge",
    "crosswire_config_reloads": "counter",
    "crosswire_config_good": "gauge",
    "crosswire_store_good": "gauge",
    "crosswire_state_good": "gauge",
    "crosswire_state_reservations": "counter",
    "crosswire_log_dropped": "counter",
    "crosswire_request_seconds": "histogram",
    "crosswire_first_token_seconds": "histogram",
    "crosswire_loop_lag_seconds": "histogram",
    "crosswire_tokens": "counter",
    "crosswire_requests_in_flight": "gauge",
}


def samples(text: str) -> dict[str, float]:
    """Every sample by its name and labels."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def test_the_names_are_an_interface() -> None:
    text = Metrics().render().decode()
    kinds = dict(re.findall(r"^# TYPE (crosswire_\w+?)(?:_total)? (\w+)$", text, re.M))
    assert {name: kind for name, kind in kinds.items() if not name.endswith("_created")} == FAMILIES


def test_what_one_record_counts() -> None:
    metrics = Metrics()
    chosen = Candidate("b", "m", True, "why")
    record = Record("r", 0.0, "ollama")
    record.decision = Decision(chosen, "auto", "because", (chosen,))
    record.attempts = [Attempt("c", "m", "overloaded"), Attempt("b", "m", "answered")]
    record.backend_used, record.outcome, record.ttft_ms, record.total_ms = "b", "answered", 30.0, 90.0
    record.losses = [Loss("a", "seed", "dropped"), Loss("b", "seed", "dropped"), Loss("c", "top_k", "dropped")]
    record.usage = Usage(3, 2, cache_read=4)
    metrics.add(record)
    found = samples(metrics.render().decode())
    assert found['crosswire_requests_total{backend="b",frontend="ollama",outcome="answered"}'] == 1
    assert found['crosswire_routing_decisions_total{backend="b",mode="auto"}'] == 1
    assert found['crosswire_losses_total{feature="seed"}'] == 1  # one request, however many fields
    assert found['crosswire_losses_total{feature="top_k"}'] == 1
    assert found['crosswire_attempts_total{backend="c",outcome="overloaded"}'] == 1
    assert found['crosswire_attempts_total{backend="b",outcome="answered"}'] == 1
    assert found['crosswire_failovers_total{from="c",to="b"}'] == 1
    assert found['crosswire_upstream_seconds_count{backend="c"}'] == 1
    assert found['crosswire_tokens_total{backend="b",direction="input"}'] == 7
    assert found['crosswire_tokens_total{backend="b",direction="output"}'] == 2
    assert found['crosswire_request_seconds_bucket{frontend="ollama",le="0.1"}'] == 1
    assert found['crosswire_first_token_seconds_bucket{backend="b",le="0.05"}'] == 1


def test_what_was_refused_has_no_backend() -> None:
    metrics = Metrics()
    record = Record("r", 0.0, "ollama")
    record.decision = Decision(None, "failed", "because", ())
    record.outcome = "model_not_found"
    metrics.add(record)
    found = samples(metrics.render().decode())
    assert found['crosswire_requests_total{backend="none",frontend="ollama",outcome="model_not_found"}'] == 1
    assert found['crosswire_routing_decisions_total{backend="none",mode="failed"}'] == 1


def test_two_apps_do_not_mix() -> None:
    one_app, other = Metrics(), Metrics()
    one_app.add(Record("r", 0.0, "ollama"))
    assert 'outcome="aborted"' in one_app.render().decode()
    assert 'outcome="aborted"' not in other.render().decode()


async def test_no_label_is_what_a_client_typed() -> None:
    """Model names, fields, paths, ids and header values are whatever a client likes: none may become a label."""
    typed = "typed-by-a-client"
    more = {typed: 1, "metadata": {typed: typed}}
    async with (
        upstream([http(dumps(reply("anthropic")))], chunked(stream("anthropic"))) as up,
        stage(config(one("anthropic", up.url))) as it,
    ):
        for frontend in PROTOCOLS:
            await it.ask(path(frontend, typed), ask(frontend, typed) | more)
            await it.ask(path(frontend, typed, stream=True), ask(frontend, typed, stream=True))
            await it.ask(path(frontend, typed), {typed: typed}, {"x-crosswire-strict": typed, "anthropic-beta": typed})
        await it.ask(f"/{typed}", b"{}", method="PUT")
        await it.ask(f"/{typed}", b"{}", method=typed.upper())
        text = await it.metrics()
    assert typed not in text.lower()
    labels = set(re.findall(r'(\w+)="', text))
    assert labels <= {"frontend", "backend", "outcome", "mode", "feature", "direction", "le"}
    assert samples(text)['crosswire_losses_total{feature="unknown_field"}'] >= 4


async def test_decisions_by_mode_and_backend() -> None:
    backends = one("ollama", "", models=["a"])
    async with upstream(chunked(stream("ollama"), stream_kind("ollama"))) as up:
        backends["b"]["base_url"] = up.url
        async with stage(config(backends)) as it:
            for model in ("a", "a", "x"):
                await it.ask("/api/chat", ask("ollama", model, stream=True))
            found = samples(await it.metrics())
    assert found['crosswire_routing_decisions_total{backend="b",mode="model_mapping"}'] == 2
    assert found['crosswire_routing_decisions_total{backend="none",mode="failed"}'] == 1
    assert found['crosswire_first_token_seconds_count{backend="b"}'] == 2
    assert found['crosswire_tokens_total{backend="b",direction="output"}'] == 4
