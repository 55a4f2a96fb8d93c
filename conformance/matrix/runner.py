"""Plays one cell over HTTP and checks each exchange; it needs nothing of the proxy but a base URL."""

from __future__ import annotations

from time import perf_counter

from crosswire.mockserver.scenarios.loader import Scenarios
from crosswire.mockserver.scenarios.model import Ask
from crosswire.mockserver.scenarios.story import Story

from ..checks.capabilities import must_refuse
from ..checks.case import CLIENT_KEY, Case
from ..checks.exchange import check_exchange
from ..checks.losses import check_implied_losses
from ..checks.routing import check_route
from ..client import CLIENTS
from ..client.conversation import expected_request
from ..client.protocol import ClientProtocol, HttpRequest, ParsedReply
from ..harness.testbed import RejectedConfig, Testbed
from .expectations import Expectations
from .result import Cell, Result, Step, Transcript


async def play_cell(
    cell: Cell, testbed: Testbed, scenarios: Scenarios, matrix: Expectations, base_url: str | None = None
) -> Result:
    """Plays a cell against a base URL (by default the test bed's own proxy) and checks every exchange."""
    began = perf_counter()
    result = Result(cell)
    story, client = scenarios.stories[cell.story], CLIENTS[cell.frontend]
    conversation: list[tuple[Ask, ParsedReply | None]] = []
    case: Case | None = None
    try:
        base_url = base_url or await _proxy_url(cell, testbed, scenarios, matrix)
    except RejectedConfig as rejected:
        result.fail(f"the proxy refuses the config of {story.file}: {rejected}")
        return result
    for at, exchange in enumerate(story.exchanges):
        conversation.append((exchange.ask, None))
        provider = None if story.proxy is not None else scenarios.providers[exchange.by or cell.provider]
        model = exchange.ask.model or (story.model_for(provider) if provider else None) or "any-model"
        request = client.build_request(conversation, model=model, stream=cell.stream, key=CLIENT_KEY)
        step = await _send_exchange(testbed, base_url, client, request, stream=cell.stream)
        result.steps.append(step)
        expected = expected_request(conversation, model=model, stream=cell.stream)
        backend = _last_backend(story, step)
        provider = provider or scenarios.providers[story.backends[backend]].account(backend)
        upstream = CLIENTS[provider.protocol]
        case = Case(story, at, exchange, provider, client, upstream, matrix, expected, model, backend)
        check_exchange(result, case, request, step)
        if exchange.decide is not None:
            check_route(result, story, exchange, scenarios.providers, step)
        if result.outcome in ("fail", "unsupported"):
            break
        conversation[-1] = (exchange.ask, step.reply)
    if case is not None and result.outcome in ("pass", "lossy"):
        check_implied_losses(result, case)
    result.ms = (perf_counter() - began) * 1000
    return result


async def _proxy_url(cell: Cell, testbed: Testbed, scenarios: Scenarios, matrix: Expectations) -> str:
    """Returns the URL of the proxy that a cell is played against."""
    story = scenarios.stories[cell.story]
    if story.proxy is not None:
        return await testbed.proxy_for_story(story)
    provider = scenarios.providers[cell.provider]
    # among other backends, a request that is unsupported here would be routed to one that supports it
    return await testbed.proxy_for_provider(provider) if must_refuse(provider, story, matrix) else testbed.base_url


def _last_backend(story: Story, step: Step) -> str:
    """Returns the story's backend of the last request, by default its first; "" for a story without backends."""
    used = [entry["backend"] for entry in step.entries if entry["backend"] in story.backends]
    return next(reversed(used), next(iter(story.backends), ""))


async def _send_exchange(
    testbed: Testbed, base_url: str, client: ClientProtocol, request: HttpRequest, *, stream: bool
) -> Step:
    """Sends one request and collects the reply, the proxy's record and the mock's journal entries."""
    since, _ = await testbed.journal(2**62)  # beyond the last entry
    response = await testbed.send(request.method, base_url + request.path, request.headers, request.bytes())
    reply = client.parse_reply(response.status, response.headers, response.body, stream=stream, request=request)
    id_ = response.headers.get("x-request-id")
    record = await testbed.get_json(f"{base_url}/crosswire/requests/{id_}") if id_ else None
    _, entries = await testbed.journal(since)
    last = entries[-1] if entries else {}
    transcript = Transcript(
        client_request=request.bytes().decode(),
        client_response=response.body.decode("utf-8", "replace"),
        upstream_request=last.get("received", ""),
        upstream_response=last.get("sent", ""),
    )
    return Step(transcript, reply, response, record, tuple(entries))
