"""Validates the items of `input`: each on its own, and the references and pairs among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...scenarios.provider import Provider
from ..reply_context import Failure, is_foreign_signature
from .error_messages import (
    check_length,
    check_name,
    invalid_request,
    missing_parameter,
    unknown_parameter,
    unsupported_value,
    wrong_type,
)
from .tables import HOSTED_ITEMS, ID_PREFIXES, ITEMS, LENIENT, MAX_CALL_ID, OUTPUT_PARTS, PARTS, PARTS_BY_ROLE

# ---- each item -------------------------------------------------------------------------------------------------------


def check_items(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """Checks the type and the fields of every item."""
    value = body.get("input")
    if "input" in body and not isinstance(value, str | list):
        yield wrong_type("input", "a string", {} if value is None else value)
    for at, item in enumerate(value if isinstance(value, list) else ()):
        where = f"input[{at}]"
        if not isinstance(item, dict):
            yield wrong_type(where, "an input item", item)
            return
        kind = item.get("type", "message" if "role" in item else None)
        if not isinstance(kind, str) or kind not in (*ITEMS, *HOSTED_ITEMS):
            yield unsupported_value(kind, sorted((*ITEMS, *HOSTED_ITEMS)), where)
        elif kind in ITEMS:
            yield from _check_item(kind, item, where, LENIENT in provider.habits)


def _check_item(kind: str, item: dict[str, Any], where: str, lenient: bool) -> Iterator[Failure]:
    role = item.get("role")
    if kind == "message" and role not in tuple(PARTS_BY_ROLE):
        yield unsupported_value(role, ("assistant", "system", "developer", "user"), where)
        return
    needed, known = ITEMS[kind]
    for key in needed:
        if key not in item:
            yield missing_parameter(f"{where}.{key}")
    for key, value in item.items():
        # An item that a client fills with nulls is refused too: "The API rejects null unknown parameters."
        # https://github.com/openai/openai-python/issues/3008
        if not lenient and (
            key not in (*needed, *known)
            or (key == "phase" and role != "assistant")
            or (key == "status" and kind == "reasoning" and value is None)
        ):
            yield unknown_parameter(f"{where}.{key}")
    id, prefix = item.get("id"), ID_PREFIXES.get(kind)
    if prefix is not None and id is not None and not str(id).startswith(prefix):
        # https://github.com/openai/codex/issues/33176
        yield invalid_request(
            f"Invalid '{where}.id': '{id}'. Expected an ID that begins with '{prefix}'.", f"{where}.id", "invalid_value"
        )
    for key in ("call_id", "name", "arguments", "input"):
        if key in needed and not isinstance(item.get(key), str):
            yield wrong_type(f"{where}.{key}", "a string", item.get(key))
            return
    if "call_id" in needed:
        yield from check_length(item["call_id"], f"{where}.call_id", MAX_CALL_ID)
    if "name" in needed:
        yield from check_name(item["name"], f"{where}.name")
    if kind == "message":
        yield from _check_content(item["content"], f"{where}.content", PARTS_BY_ROLE[str(role)], lenient)
    elif "output" in needed:
        yield from _check_content(item["output"], f"{where}.output", OUTPUT_PARTS, lenient)
    elif kind == "reasoning":
        for key, part in (("summary", "summary_text"), ("content", "reasoning_text")):
            yield from _check_reasoning_texts(item.get(key, []), f"{where}.{key}", part)


def _check_content(value: Any, where: str, allowed: tuple[str, ...], lenient: bool) -> Iterator[Failure]:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        yield wrong_type(where, "one of an array of objects or string", value)
        return
    for at, part in enumerate(value):
        here = f"{where}[{at}]"
        if not isinstance(part, dict):
            yield wrong_type(here, "an object", part)
            return
        kind = part.get("type")
        if kind is None:
            yield missing_parameter(f"{here}.type")
        elif not isinstance(kind, str) or kind not in PARTS:
            yield unsupported_value(kind, PARTS, f"{here}.type")
        elif kind not in allowed:
            # https://github.com/google/adk-go/issues/1197
            yield unsupported_value(kind, allowed, here)
        else:
            yield from _check_part(part, *PARTS[kind], here, lenient)


def _check_part(
    part: dict[str, Any], needed: tuple[str, ...], known: tuple[str, ...], where: str, lenient: bool
) -> Iterator[Failure]:
    for key in needed:
        if key not in part:
            yield missing_parameter(f"{where}.{key}")
        elif not isinstance(part[key], str):
            yield wrong_type(f"{where}.{key}", "a string", part[key])
    for key in part:
        if key not in (*needed, *known) and not lenient:
            yield unknown_parameter(f"{where}.{key}")
    url = part.get("image_url")
    if url is not None and not re.match(r"(https?://|data:)", str(url)):
        # "image_url: A fully qualified URL or base64 encoded image in a data URL."
        # https://platform.openai.com/docs/api-reference/responses/create
        yield invalid_request(
            f"Invalid '{where}.image_url'. Expected a valid URL, but got a value with an invalid format.",
            f"{where}.image_url",
            "invalid_value",
        )


def _check_reasoning_texts(value: Any, where: str, kind: str) -> Iterator[Failure]:
    if value is None and kind == "reasoning_text":
        return
    if not isinstance(value, list):
        yield wrong_type(where, "an array of objects", value)
        return
    for at, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type") != kind:
            yield unsupported_value(part.get("type") if isinstance(part, dict) else None, (kind,), f"{where}[{at}]")
        elif not isinstance(part.get("text"), str):
            yield missing_parameter(f"{where}[{at}].text")


# ---- items together --------------------------------------------------------------------------------------------------


def check_references(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """Refuses references by id: the mock resolves none of them in a request."""
    previous = body.get("previous_response_id")
    if previous is not None:
        # https://github.com/maximhq/bifrost/issues/2441
        yield invalid_request(
            f"Previous response with id '{previous}' not found.", "previous_response_id", "previous_response_not_found"
        )
    for item in _items(body):
        if item.get("type") == "item_reference":
            yield Failure(404, "not_found", f"Item with id '{item['id']}' not found.", None, "input")
        # https://github.com/can1357/oh-my-pi/issues/41
        is_bare = item.get("type") == "reasoning" and not item.get("encrypted_content") and item.get("id")
        if is_bare and body.get("store") is False:
            message = (
                f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false. Try "
                "again with `store` set to true, or remove this item from your input."
            )
            yield Failure(404, "not_found", message, None, "input")


def check_signatures(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """Checks that every signature was issued by this provider."""
    for item in _items(body):
        content = item.get("encrypted_content")
        if item.get("type") == "reasoning" and content and is_foreign_signature(str(content), provider):
            # https://github.com/openai/codex/issues/8145
            shown = f"{content[:4]}...{content[-4:]}"
            yield invalid_request(
                f"The encrypted content {shown} could not be verified. Reason: Encrypted content could not be "
                "decrypted or parsed.",
                None,
                "invalid_encrypted_content",
            )


def check_pairing(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """Checks that calls and outputs match, and that every reasoning item has the item after it."""
    if body.get("conversation") is not None or body.get("prompt") is not None:
        return  # The items in a conversation or a prompt are unknown here.
    calls: list[str] = []
    answered: list[str] = []
    reasoning_id: str | None = None
    for item in _items(body):
        kind = item.get("type", "message")
        if reasoning_id is not None and (
            kind == "function_call_output" or item.get("role") in ("user", "system", "developer")
        ):
            yield _unpaired(reasoning_id)
        reasoning_id = (item.get("id") or reasoning_id) if kind == "reasoning" else None
        if kind in ("function_call", "custom_tool_call"):
            calls.append(item["call_id"])
        elif kind in ("function_call_output", "custom_tool_call_output"):
            if item["call_id"] not in calls:
                # https://github.com/continuedev/continue/issues/10092
                kind_name = "function call" if kind == "function_call_output" else "custom tool call"
                yield invalid_request(
                    f"No tool call found for {kind_name} output with call_id {item['call_id']}.", "input"
                )
            answered.append(item["call_id"])
    if reasoning_id is not None:
        yield _unpaired(reasoning_id)
    for id in calls:
        if id not in answered:
            # https://github.com/router-for-me/CLIProxyAPI/issues/2368
            yield invalid_request(f"No tool output found for function call {id}.", "input")


def _unpaired(id: str) -> Failure:
    """Returns the error for a reasoning item without the item after it.

    https://github.com/continuedev/continue/issues/8933
    """
    return invalid_request(
        f"Item '{id}' of type 'reasoning' was provided without its required following item.", "input"
    )


def _items(body: dict[str, Any]) -> list[dict[str, Any]]:
    value = body.get("input")
    return value if isinstance(value, list) else []
