"""What OpenAI refuses of the items in `input`: each alone, and which of them belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..contract import Failure, Provider, foreign_seal
from .refusals import bad, bad_length, bad_name, missing, unknown, unsupported, wrong_type
from .words import HOSTED_ITEMS, ID_PREFIXES, ITEMS, LENIENT, MAX_CALL_ID, OUTPUT_PARTS, PARTS, SAID_BY

# ---- each item -------------------------------------------------------------------------------------------------------


def judge(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
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
            yield unsupported(kind, sorted((*ITEMS, *HOSTED_ITEMS)), where)
        elif kind in ITEMS:
            yield from _item(kind, item, where, LENIENT in provider.habits)


def _item(kind: str, item: dict[str, Any], where: str, lenient: bool) -> Iterator[Failure]:
    role = item.get("role")
    if kind == "message" and role not in tuple(SAID_BY):
        yield unsupported(role, ("assistant", "system", "developer", "user"), where)
        return
    needed, known = ITEMS[kind]
    for key in needed:
        if key not in item:
            yield missing(f"{where}.{key}")
    for key, value in item.items():
        # An item that was made up of nulls is refused too: "The API rejects null unknown parameters."
        # https://github.com/openai/openai-python/issues/3008
        if not lenient and (
            key not in (*needed, *known)
            or (key == "phase" and role != "assistant")
            or (key == "status" and kind == "reasoning" and value is None)
        ):
            yield unknown(f"{where}.{key}")
    id, prefix = item.get("id"), ID_PREFIXES.get(kind)
    if prefix is not None and id is not None and not str(id).startswith(prefix):
        # https://github.com/openai/codex/issues/33176
        yield bad(
            f"Invalid '{where}.id': '{id}'. Expected an ID that begins with '{prefix}'.", f"{where}.id", "invalid_value"
        )
    for key in ("call_id", "name", "arguments", "input"):
        if key in needed and not isinstance(item.get(key), str):
            yield wrong_type(f"{where}.{key}", "a string", item.get(key))
            return
    if "call_id" in needed:
        yield from bad_length(item["call_id"], f"{where}.call_id", MAX_CALL_ID)
    if "name" in needed:
        yield from bad_name(item["name"], f"{where}.name")
    if kind == "message":
        yield from _content(item["content"], f"{where}.content", SAID_BY[str(role)], lenient)
    elif "output" in needed:
        yield from _content(item["output"], f"{where}.output", OUTPUT_PARTS, lenient)
    elif kind == "reasoning":
        for key, part in (("summary", "summary_text"), ("content", "reasoning_text")):
            yield from _thoughts(item.get(key, []), f"{where}.{key}", part)


def _content(value: Any, where: str, allowed: tuple[str, ...], lenient: bool) -> Iterator[Failure]:
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
            yield missing(f"{here}.type")
        elif not isinstance(kind, str) or kind not in PARTS:
            yield unsupported(kind, PARTS, f"{here}.type")
        elif kind not in allowed:
            # https://github.com/google/adk-go/issues/1197
            yield unsupported(kind, allowed, here)
        else:
            yield from _part(part, *PARTS[kind], here, lenient)


def _part(
    part: dict[str, Any], needed: tuple[str, ...], known: tuple[str, ...], where: str, lenient: bool
) -> Iterator[Failure]:
    for key in needed:
        if key not in part:
            yield missing(f"{where}.{key}")
        elif not isinstance(part[key], str):
            yield wrong_type(f"{where}.{key}", "a string", part[key])
    for key in part:
        if key not in (*needed, *known) and not lenient:
            yield unknown(f"{where}.{key}")
    url = part.get("image_url")
    if url is not None and not re.match(r"(https?://|data:)", str(url)):
        # "image_url: A fully qualified URL or base64 encoded image in a data URL."
        # https://platform.openai.com/docs/api-reference/responses/create
        yield bad(
            f"Invalid '{where}.image_url'. Expected a valid URL, but got a value with an invalid format.",
            f"{where}.image_url",
            "invalid_value",
        )


def _thoughts(value: Any, where: str, kind: str) -> Iterator[Failure]:
    if value is None and kind == "reasoning_text":
        return
    if not isinstance(value, list):
        yield wrong_type(where, "an array of objects", value)
        return
    for at, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type") != kind:
            yield unsupported(part.get("type") if isinstance(part, dict) else None, (kind,), f"{where}[{at}]")
        elif not isinstance(part.get("text"), str):
            yield missing(f"{where}[{at}].text")


# ---- items together --------------------------------------------------------------------------------------------------


def stored(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    """The mock keeps nothing, so whatever is named by an id is not there."""
    previous = body.get("previous_response_id")
    if previous is not None:
        # https://github.com/maximhq/bifrost/issues/2441
        yield bad(
            f"Previous response with id '{previous}' not found.", "previous_response_id", "previous_response_not_found"
        )
    for item in _items(body):
        if item.get("type") == "item_reference":
            yield Failure(404, "not_found", f"Item with id '{item['id']}' not found.", None, "input")
        # https://github.com/can1357/oh-my-pi/issues/41
        bare = item.get("type") == "reasoning" and not item.get("encrypted_content") and item.get("id")
        if bare and body.get("store") is False:
            message = (
                f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false. Try "
                "again with `store` set to true, or remove this item from your input."
            )
            yield Failure(404, "not_found", message, None, "input")


def seals(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    for item in _items(body):
        sealed = item.get("encrypted_content")
        if item.get("type") == "reasoning" and sealed and foreign_seal(str(sealed), provider):
            # https://github.com/openai/codex/issues/8145
            shown = f"{sealed[:4]}...{sealed[-4:]}"
            yield bad(
                f"The encrypted content {shown} could not be verified. Reason: Encrypted content could not be "
                "decrypted or parsed.",
                None,
                "invalid_encrypted_content",
            )


def pairing(body: dict[str, Any], provider: Provider) -> Iterator[Failure]:
    if body.get("conversation") is not None or body.get("prompt") is not None:
        return  # What these hold is not known here.
    calls: list[str] = []
    answered: list[str] = []
    thought: str | None = None
    for item in _items(body):
        kind = item.get("type", "message")
        if thought is not None and (
            kind == "function_call_output" or item.get("role") in ("user", "system", "developer")
        ):
            yield _alone(thought)
        thought = (item.get("id") or thought) if kind == "reasoning" else None
        if kind in ("function_call", "custom_tool_call"):
            calls.append(item["call_id"])
        elif kind in ("function_call_output", "custom_tool_call_output"):
            if item["call_id"] not in calls:
                # https://github.com/continuedev/continue/issues/10092
                what = "function call" if kind == "function_call_output" else "custom tool call"
                yield bad(f"No tool call found for {what} output with call_id {item['call_id']}.", "input")
            answered.append(item["call_id"])
    if thought is not None:
        yield _alone(thought)
    for id in calls:
        if id not in answered:
            # https://github.com/router-for-me/CLIProxyAPI/issues/2368
            yield bad(f"No tool output found for function call {id}.", "input")


def _alone(id: str) -> Failure:
    """https://github.com/continuedev/continue/issues/8933"""
    return bad(f"Item '{id}' of type 'reasoning' was provided without its required following item.", "input")


def _items(body: dict[str, Any]) -> list[dict[str, Any]]:
    value = body.get("input")
    return value if isinstance(value, list) else []
