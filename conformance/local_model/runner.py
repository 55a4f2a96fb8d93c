"""Plays stories against the real model in the proxy's process and checks the content of its replies.

It needs nothing of the proxy but a base URL and the log of prompts and outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.loader import Scenarios
from crosswire.mockserver.scenarios.model import Ask

from ..checks.case import CLIENT_KEY
from ..client import CLIENTS
from ..client.protocol import ParsedReply
from ..harness.testbed import Testbed
from ..matrix.cells import stream_modes
from ..matrix.expectations import Expectations
from ..matrix.result import Cell, Result, Step, Transcript
from .checks import check_implied_local_losses, check_local_losses, check_local_refusal, check_local_reply
from .expectations import LOCAL_PROVIDER, PLAYS, REFUSES, LocalExpectations
from .template_request import template_differences


def local_cells(scenarios: Scenarios, matrix: Expectations, local: LocalExpectations) -> Iterator[Cell]:
    """Yields the cells of the local model: stories that it plays, and stories that it must refuse."""
    for story in scenarios.stories.values():
        if story.proxy is not None or local.status_of(story) not in ([PLAYS], [REFUSES]):
            continue
        for frontend in matrix.frontends:
            if not story.clients or frontend in story.clients:
                yield from (Cell(frontend, LOCAL_PROVIDER, story.name, stream) for stream in stream_modes(story))


async def play_local_cell(
    cell: Cell, testbed: Testbed, scenarios: Scenarios, matrix: Expectations, local: LocalExpectations
) -> Result:
    """Plays the exchanges of a story up to the first that needs another provider, and checks the model's replies."""
    began = perf_counter()
    result = Result(cell)
    story, client = scenarios.stories[cell.story], CLIENTS[cell.frontend]
    base_url = await testbed.proxy_for_local_model({"protocol": LOCAL_PROVIDER, "models": local.models})
    conversation: list[tuple[Ask, ParsedReply | None]] = []
    implied = local.implied_losses(story.name, cell.frontend, stream=cell.stream)
    for exchange in story.exchanges:
        if exchange.by is not None:
            break
        conversation.append((exchange.ask, None))
        model = next(iter(local.models))
        request = client.build_request(conversation, model=model, stream=cell.stream, key=CLIENT_KEY)
        response = await testbed.send(request.method, base_url + request.path, request.headers, request.bytes())
        reply = client.parse_reply(
            response.status, response.headers, response.body, stream=cell.stream, request=request
        )
        id_ = response.headers.get("x-request-id", "")
        record = await testbed.get_json(f"{base_url}/crosswire/requests/{id_}")
        has_answered = response.status == 200
        given, prompt, output = await testbed.local_model_log(id_) if has_answered else ({}, "", "")
        transcript = Transcript(request.bytes().decode(), response.body.decode("utf-8", "replace"), prompt, output)
        step = Step(transcript, reply, response, record)
        result.steps.append(step)
        if local.status_of(story) == [REFUSES]:
            check_local_refusal(result, local.refused_needs(story), step)
            break
        # the model is checked against the request as this client's protocol expresses it
        sent = MOCK_PROTOCOLS[client.name].parse_request(request.path, request.headers, request.body)
        check_local_reply(result, exchange, conversation, sent, step)
        if has_answered:
            differences = template_differences(sent, client, given)
            check_local_losses(result, step, differences, implied, matrix.protocols[client.name].frontend.losses)
        if result.outcome == "fail":
            break
        conversation[-1] = (exchange.ask, reply)
    if result.outcome == "pass" and local.status_of(story) == [PLAYS]:
        check_implied_local_losses(result, implied)
    if result.outcome == "pass" and result.losses:
        result.outcome = "lossy"
    result.ms = (perf_counter() - began) * 1000
    return result
