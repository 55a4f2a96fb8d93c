"""No request body, however wrong, is answered with a 5xx, a hang or a traceback; without sockets, so that many fit."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosswire.proxy.gateway.context import HttpResponse
from crosswire.proxy.ir import CAPABILITIES
from crosswire.proxy.ir.loss_tables import LOSS_RULES

from ..fake_backends import Canned, KeptSink
from ..proxy_fixture import KEY, config, one
from ..sample_messages import PROTOCOLS, dumps, error_text
from ..sample_requests import RICH, broken

REFUSED = {word: "drop" for word, rule in LOSS_RULES.items() if rule.action == "refuse"}


def gateway(backend: str) -> Canned:
    """A backend that refuses nothing, so that every request reaches its encoder."""
    can = one(backend, "http://upstream.test", capabilities=list(CAPABILITIES))
    return Canned(config(can, ledger=REFUSED))


def held(frontend: str, answer: HttpResponse | None, sink: KeptSink, name: object) -> int:
    """The status of an answer that broke no promise."""
    if answer is None:
        assert sink.ended is True, name
        return 200
    assert sink.headers is None, name
    assert answer.status < 500, (name, answer.body)
    if answer.status != 200:
        message = error_text(frontend, answer.status, answer.body)
        assert KEY not in message
        assert "upstream.test" not in message
        assert "Traceback" not in message
    return answer.status


@pytest.mark.parametrize("backend", PROTOCOLS)
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_a_rich_request_is_taken(frontend: str, backend: str) -> None:
    """Otherwise the tables below would break what nobody takes anyway."""
    body = dict(RICH[frontend])
    it = gateway(backend)
    for stream in (False, True):
        if frontend != "gemini":
            body["stream"] = stream
        answer, sink = await it.ask(frontend, dumps(body), stream=stream)
        assert held(frontend, answer, sink, backend) == 200, answer


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_wrong_values_at_every_key(frontend: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each at each place, in turn against each backend; the proxy's last wall logs what it stops, and must not."""
    benches = [gateway(backend) for backend in PROTOCOLS]
    statuses: dict[int, int] = {}
    for n, (name, body) in enumerate(broken(RICH[frontend])):
        stream = bool(n % 2)
        it = benches[n % len(benches)]
        answer, sink = await it.ask(frontend, dumps(body), stream=stream)
        assert not caplog.records, f"{name}: {caplog.text}"
        status = held(frontend, answer, sink, name)
        statuses[status] = statuses.get(status, 0) + 1
    assert statuses[200] > 100  # some are right, and some are the provider's to judge
    assert statuses[400] > 300
    assert statuses.keys() <= {200, 400, 404}


def keys_of(value: Any) -> set[str]:
    """Every key in a body."""
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in keys_of(inner)}
    return {key for inner in value for key in keys_of(inner)} if isinstance(value, list) else set()


def words_of(value: Any) -> set[str]:
    """Every short text in a body: roles, types, modes, and the rest."""
    if isinstance(value, dict):
        return {word for inner in value.values() for word in words_of(inner)}
    if isinstance(value, list):
        return {word for inner in value for word in words_of(inner)}
    return {value} if isinstance(value, str) and len(value) < 30 else set()


def bodies(frontend: str) -> st.SearchStrategy[Any]:
    """JSON of the protocol's own keys and words, put together anyhow."""
    rich = RICH[frontend]
    known = st.sampled_from(sorted(keys_of(rich)))
    word = st.sampled_from(sorted(words_of(rich)))
    leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | word
    leaf |= st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    value = st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known, inner, max_size=4), max_leaves=12
    )
    whole = st.sampled_from(sorted(rich))
    return st.dictionaries(whole, value, max_size=4).map(lambda changed: {**rich, **changed})


@pytest.mark.parametrize("frontend", PROTOCOLS)
def test_any_json_is_answered(frontend: str, caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(body=bodies(frontend), backend=st.sampled_from(PROTOCOLS), stream=st.booleans())
    def ask(body: Any, backend: str, stream: bool) -> None:
        raw = json.dumps(body).encode()
        answer, sink = loop.run_until_complete(gateway(backend).ask(frontend, raw, stream=stream))
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR], caplog.text
        held(frontend, answer, sink, body)

    try:
        ask()
    finally:
        loop.close()


@pytest.mark.parametrize("depth", [400, 900])
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_depths_that_json_allows_and_python_may_not(frontend: str, depth: int) -> None:
    """Deep values at every key, against every backend: a walk that runs out of stack is the client's 400."""
    benches = [gateway(backend) for backend in PROTOCOLS]
    deep = b"[" * depth + b"]" * depth
    nested = b'{"properties":{"a":' * (depth // 2) + b"{}" + b"}}" * (depth // 2)
    for n, key in enumerate(sorted(keys_of(RICH[frontend]))):
        body = json.dumps(_everywhere(RICH[frontend], key)).encode()
        rounds = [(deep, benches[n % len(benches)]), *((nested, it) for it in benches)]
        for value, it in rounds:
            answer, sink = await it.ask(frontend, body.replace(b'"@@"', value))
            held(frontend, answer, sink, (key, depth))


def _everywhere(value: Any, key: str) -> Any:
    """The body with a mark in place of each value under this key."""
    if isinstance(value, dict):
        return {name: "@@" if name == key else _everywhere(inner, key) for name, inner in value.items()}
    return [_everywhere(inner, key) for inner in value] if isinstance(value, list) else value
