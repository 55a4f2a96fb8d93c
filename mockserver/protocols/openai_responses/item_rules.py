"""Rules of the Responses API about the items together: references, signatures, calls and their outputs."""

from __future__ import annotations

from collections.abc import Iterator

from ..reply_context import is_foreign_signature
from ..rule import Asked, Breach, Rule
from .item_shapes import items

OUTPUTS = {"function_call_output": "function call", "custom_tool_call_output": "custom tool call"}
"""Type of an output -> the kind of its call in error messages."""


def _previous_unknown(asked: Asked) -> Iterator[Breach]:
    # The mock resolves no reference in a request.
    if asked.body.get("previous_response_id") is not None:
        yield {"id": asked.body["previous_response_id"]}


def _reference_unknown(asked: Asked) -> Iterator[Breach]:
    for item in items(asked):
        if item.get("type") == "item_reference":
            yield {"id": item["id"]}


def _reasoning_not_stored(asked: Asked) -> Iterator[Breach]:
    for item in items(asked):
        is_bare = item.get("type") == "reasoning" and not item.get("encrypted_content") and item.get("id")
        if is_bare and asked.body.get("store") is False:
            yield {"id": item["id"]}


def _signature_foreign(asked: Asked) -> Iterator[Breach]:
    for item in items(asked):
        content = item.get("encrypted_content")
        if item.get("type") == "reasoning" and content and is_foreign_signature(str(content), asked.provider):
            yield {"start": str(content)[:4], "end": str(content)[-4:]}


def _is_whole(asked: Asked) -> bool:
    """Returns whether all items are in the request; those of a conversation or a prompt are unknown here."""
    return asked.body.get("conversation") is None and asked.body.get("prompt") is None


def _reasoning_alone(asked: Asked) -> Iterator[Breach]:
    pending: str | None = None
    for item in items(asked) if _is_whole(asked) else []:
        kind = item.get("type", "message")
        if pending is not None and (kind in OUTPUTS or item.get("role") in ("user", "system", "developer")):
            yield {"id": pending}
        pending = (item.get("id") or pending) if kind == "reasoning" else None
    if pending is not None:
        yield {"id": pending}


def _output_of_no_call(asked: Asked) -> Iterator[Breach]:
    calls: set[str] = set()
    for item in items(asked) if _is_whole(asked) else []:
        kind = item.get("type", "message")
        if kind in ("function_call", "custom_tool_call"):
            calls.add(item["call_id"])
        elif kind in OUTPUTS and item["call_id"] not in calls:
            yield {"kind": OUTPUTS[kind], "id": item["call_id"]}


def _output_missing(asked: Asked) -> Iterator[Breach]:
    found = items(asked) if _is_whole(asked) else []
    answered = {item["call_id"] for item in found if item.get("type") in OUTPUTS}
    for item in found:
        if item.get("type") in ("function_call", "custom_tool_call") and item["call_id"] not in answered:
            yield {"id": item["call_id"]}


RULES: tuple[Rule, ...] = (
    Rule(
        id="previous-unknown",
        says="The error of a response that is not stored.",
        source="https://github.com/maximhq/bifrost/issues/2441",
        check=_previous_unknown,
        message="Previous response with id '{id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    ),
    Rule(
        id="reference-unknown",
        says="The error of a reference to an item that is not stored.",
        source="https://github.com/can1357/oh-my-pi/issues/41",
        check=_reference_unknown,
        message="Item with id '{id}' not found.",
        param="input",
        status=404,
        kind="not_found",
    ),
    Rule(
        id="reasoning-not-stored",
        says="Items are not persisted when `store` is set to false.",
        source="https://github.com/can1357/oh-my-pi/issues/41",
        check=_reasoning_not_stored,
        message="Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with "
        "`store` set to true, or remove this item from your input.",
        param="input",
        status=404,
        kind="not_found",
    ),
    Rule(
        id="signature-foreign",
        says="The error of encrypted content of another organization.",
        source="https://github.com/openai/codex/issues/8145",
        check=_signature_foreign,
        message="The encrypted content {start}...{end} could not be verified. Reason: Encrypted content could not be "
        "decrypted or parsed.",
        code="invalid_encrypted_content",
    ),
    Rule(
        id="reasoning-alone",
        says="The error of a reasoning item without the item after it.",
        source="https://github.com/continuedev/continue/issues/8933",
        check=_reasoning_alone,
        message="Item '{id}' of type 'reasoning' was provided without its required following item.",
        param="input",
    ),
    Rule(
        id="output-of-no-call",
        says="The error of an output whose call is not in the input.",
        source="https://github.com/continuedev/continue/issues/10092",
        check=_output_of_no_call,
        message="No tool call found for {kind} output with call_id {id}.",
        param="input",
    ),
    Rule(
        id="output-missing",
        says="The error of a call without an output.",
        source="https://github.com/router-for-me/CLIProxyAPI/issues/2368",
        check=_output_missing,
        message="No tool output found for function call {id}.",
        param="input",
    ),
)
"""Rules about items together, in the order in which the service checks them."""
