"""Checks of the local model's replies: prompt, calls, stop sequences and format, but not the wording."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

import jsonschema

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import Ask, NamedTool, SayCall, ToolCall
from crosswire.mockserver.scenarios.story import Exchange, new_texts

from ..checks.case import CLIENT_KEY
from ..checks.errors import check_complaints
from ..checks.losses import check_recorded_losses, header_losses, path_pattern
from ..client.protocol import ParsedReply
from ..comparison import WRONG, Difference
from ..matrix.result import Lost, Result, Step
from .expectations import LOCAL_PROVIDER


def check_local_refusal(result: Result, refused: list[str], step: Step) -> None:
    """Checks that the request was refused with 400 and an error that names one of the capabilities."""
    error = step.reply.error
    if error is None or step.response.status != 400 or not any(text in error.message for text in refused):
        result.fail(f"{', '.join(refused)} must be refused, but the status is {step.response.status}")
        return
    result.outcome = "unsupported"
    result.refused = refused
    result.reasons.append(error.message)


def check_local_reply(
    result: Result,
    exchange: Exchange,
    conversation: list[tuple[Ask, ParsedReply | None]],
    sent: ParsedRequest,
    step: Step,
) -> None:
    """Checks the prompt, the token count, the calls, the stop sequences and the format of one answer."""
    reply, record = step.reply, step.record or {}
    check_complaints(result, step)
    if reply.error is not None or step.response.status != 200:
        result.fail(f"refused with {step.response.status}: {reply.error and reply.error.message}")
        return
    if record.get("backend_used") != LOCAL_PROVIDER:
        result.fail(f"the record names backend {record.get('backend_used')}, expected {LOCAL_PROVIDER}")
    result.decision = record.get("decision") or {}
    missing = [
        text for ask, _ in conversation for text in new_texts(ask) if text not in step.transcript.upstream_request
    ]
    if missing:
        result.fail(f"the prompt lacks {missing}")
    if CLIENT_KEY in step.transcript.upstream_request:
        result.fail("the client's key is in the prompt")
    if reply.usage is None or not reply.usage.output:
        result.fail("no tokens were counted")
    elif sent.max_tokens is not None and reply.usage.output > sent.max_tokens:
        result.fail(f"{reply.usage.output} output tokens, the limit is {sent.max_tokens}")
    calls = [block for block in reply.blocks if isinstance(block, ToolCall)]
    expected = any(isinstance(item, SayCall) for items in exchange.say.values() for item in items)
    for fault in tool_call_errors(calls, sent, expected, reply):
        result.fail(fault)
    for stop in sent.stop:
        if stop in reply.text:
            result.fail(f"the reply contains the stop sequence {stop!r}")
    if sent.format is not None and reply.stop != "length":
        try:
            jsonschema.validate(json.loads(reply.text), sent.format.schema or {"type": "object"})
        except (ValueError, jsonschema.ValidationError) as fault:
            result.fail(f"the reply does not match the requested format: {fault}")


def tool_call_errors(calls: list[ToolCall], sent: ParsedRequest, expected: bool, reply: ParsedReply) -> Iterator[str]:
    """Yields what is wrong with the tool calls of a reply; `expected` says that the story expects one."""
    offered = {(tool.namespace, tool.name): tool for tool in sent.tools}
    if expected and not calls:
        yield f"expected a tool call, received the text {reply.text!r}"
    if calls and (sent.tool_choice == "none" or not sent.tools):
        yield f"no tool call is allowed, received {calls}"
    if not calls and not reply.text.strip() and reply.stop not in ("stop_sequence", "end", "length"):
        yield "the reply is empty"
    if calls and reply.stop != "tool":
        yield f"the reply has tool calls, but the stop reason {reply.stop}"
    if len({call.id for call in calls}) < len(calls):
        yield "two calls have the same id"
    if sent.parallel is False and len(calls) > 1:
        yield f"{len(calls)} calls, only one is allowed"
    for call in calls:
        tool = offered.get((call.namespace, call.name))
        if tool is None:
            yield f"{call.name} was called, which is not among the tools"
            continue
        if call.kind != tool.kind:
            yield f"{call.name} was called as a {call.kind} tool, but it is a {tool.kind} tool"
            continue
        if isinstance(sent.tool_choice, NamedTool) and call.name != sent.tool_choice.name:
            yield f"{call.name} was called, expected {sent.tool_choice.name}"
        if call.kind == "custom":  # its input is free text
            continue
        try:
            jsonschema.validate(json.loads(call.arguments or "{}"), tool.parameters or {"type": "object"})
        except (ValueError, jsonschema.ValidationError) as fault:
            yield f"the arguments of {call.name} do not match its schema: {fault}"


def check_local_losses(
    result: Result, step: Step, differences: list[Difference], implied: list[Lost], of_client: Collection[str]
) -> None:
    """Checks that what the template was not given is declared, that nothing else is, and that rules allow each loss.

    `of_client` are the losses that the client's protocol has in replies, which the template's input cannot show.
    """
    for difference in differences:
        lost = Lost("request", difference.feature, path_pattern(difference.path))
        if lost.feature == WRONG:
            result.fail(str(difference))
        elif lost not in result.lost:
            result.lost.append(lost)
            if lost not in implied:
                result.fail(f"loss {lost} is not allowed by expectations.yaml: {difference}")
    missing = {difference.feature for difference in differences} - {WRONG}
    declared = header_losses(step) | {loss.word for loss in step.reply.told.losses}
    for feature in sorted(missing - declared):
        why = "; ".join(str(difference) for difference in differences if difference.feature == feature)
        result.fail(f"undeclared loss {feature}: {why}")
    for feature in sorted(declared - missing - {*of_client}):
        result.fail(f"a loss was declared that did not happen: {feature}")
    result.losses += [feature for feature in sorted(declared) if feature not in result.losses]
    check_recorded_losses(result, step)


def check_implied_local_losses(result: Result, implied: list[Lost]) -> None:
    """Checks after the last exchange that every loss happened that the template's limits imply."""
    for lost in sorted(set(implied) - set(result.lost)):
        result.fail(f"loss {lost} did not happen, though a rule says that this cell has it")
