"""What an Anthropic Messages request means in neutral terms; what has no noun is listed, nothing is judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...speech import (
    Block,
    Call,
    Document,
    Format,
    Image,
    Named,
    Result,
    Role,
    Text,
    Think,
    Tool,
    Turn,
)
from ..body import Obj
from ..contract import Malformed, Understood

ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}

CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def read(path: str, headers: Mapping[str, str], body: Any) -> Understood:
    """Raises `Malformed`; `extra` lists every part of the body that is not in the other fields."""
    extra: dict[str, Any] = {}
    top = Obj(body, "$", extra)
    top.drop("service_tier", "auto")
    choice, parallel = _choice(top)
    shown = _shown(top)
    reasoning, format_ = _reasoning(top)
    sampling = {word: value for word in ("temperature", "top_p", "top_k") if (value := top.number(word)) is not None}
    understood = Understood(
        model=top.text("model"),
        stream=top.flag("stream") or False,
        system=tuple(block.text for block in _content(top, "system") if isinstance(block, Text)),
        turns=tuple(_turn(message) for message in top.need("messages").objs("messages")),
        tools=tuple(tool for tool in map(_tool, top.objs("tools")) if tool is not None),
        tool_choice=choice,
        parallel=parallel,
        sampling=sampling,
        max_tokens=top.whole("max_tokens"),
        stop=_strings(top, "stop_sequences"),
        reasoning=reasoning,
        shown=shown,
        user=_user(top),
        format=format_,
        extra=extra,
    )
    top.close()
    return understood


# ---- messages --------------------------------------------------------------------------------------------------------


def _turn(message: Obj) -> Turn:
    role = message.need("role").text("role") or ""
    if role not in ROLES:
        raise Malformed(f"{message.path}.role", f"no such role: {role!r}")
    turn = Turn(ROLES[role], _content(message, "content"))
    message.close()
    return turn


def _content(holder: Obj, key: str) -> tuple[Block, ...]:
    value = holder.any(key)
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (Text(value),)
    if not isinstance(value, list):
        raise Malformed(f"{holder.path}.{key}", "a string or an array of blocks was wanted")
    return tuple(
        block
        for at, part in enumerate(value)
        if (block := _block(Obj(part, f"{holder.path}.{key}[{at}]", holder.extra))) is not None
    )


def _block(part: Obj) -> Block | None:
    block: Block | None = None
    match part.need("type").text("type"):
        case "text":
            block = Text(part.need("text").text("text") or "")
        case "thinking":
            block = Think(part.text("thinking") or "", part.text("signature"))
        case "redacted_thinking":
            block = Think("", part.text("data"), redacted=True)
        case "image":
            mime, data, url, _, file = _source(part)
            block = Image(mime, data, url, file)
        case "document":
            mime, data, url, text, file = _source(part)
            block = Document(mime, data, url, text, part.text("title"), file)
        case "tool_use":
            given = part.dict("input") or {}
            text = json.dumps(given, ensure_ascii=False, separators=(",", ":"))
            part.drop("caller", {"type": "direct"})
            block = Call(part.need("id").text("id") or "", part.need("name").text("name") or "", text)
        case "tool_result":
            id = part.need("tool_use_id").text("tool_use_id") or ""
            block = Result(id, _content(part, "content"), part.flag("is_error") or False)
        case other:
            # Blocks of hosted tools and whatever comes next: kept whole.
            part.extra[part.path] = {"type": other, **{key: part.any(key) for key in part.keys}}
    part.close()
    return block


def _source(part: Obj) -> tuple[str | None, str | None, str | None, str | None, str | None]:
    """(mime, base64, url, text, file's id)"""
    source = part.need("source").obj("source")
    if source is None:
        return None, None, None, None, None
    kind = source.text("type")
    mime, data, url = source.text("media_type"), None, source.text("url")
    text = None
    if kind == "text":
        text = source.text("data")
    elif kind == "content":
        text = "\n".join(block.text for block in _content(source, "content") if isinstance(block, Text))
    else:
        data = source.text("data")
    file = source.text("file_id")
    source.close()
    return mime, data, url, text, file


def _strings(top: Obj, key: str) -> tuple[str, ...]:
    found = top.list(key) or []
    for at, item in enumerate(found):
        if not isinstance(item, str):
            raise Malformed(f"{top.path}.{key}[{at}]", "a string was wanted")
    return tuple(found)


# ---- settings --------------------------------------------------------------------------------------------------------


def _tool(tool: Obj) -> Tool | None:
    kind = tool.peek("type")
    if kind not in (None, "custom"):
        tool.extra[tool.path] = {key: tool.any(key) for key in tool.keys}
        return None
    found = Tool(
        tool.need("name").text("name") or "",
        tool.text("description"),
        tool.dict("input_schema"),
        tool.flag("strict"),
    )
    tool.any("type")
    tool.close()
    return found


def _choice(top: Obj) -> tuple[str | Named | None, bool | None]:
    choice = top.obj("tool_choice")
    if choice is None:
        return None, None
    kind = choice.need("type").text("type") or ""
    disabled = choice.flag("disable_parallel_tool_use")
    found: str | Named | None
    if kind == "tool":
        found = Named(choice.need("name").text("name") or "")
    elif kind in CHOICES:
        found = CHOICES[kind]
    else:
        raise Malformed(f"{choice.path}.type", f"no such choice: {kind!r}")
    choice.close()
    return found, None if disabled is None else not disabled


def _user(top: Obj) -> str | None:
    """`user_id` is all that the metadata hold. https://platform.claude.com/docs/en/api/messages/create"""
    metadata = top.obj("metadata")
    if metadata is None:
        return None
    user = metadata.text("user_id")
    metadata.close()
    return user


def _shown(top: Obj) -> bool | None:
    """Whether thoughts are asked for; a wish to see none of them is listed.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking
    """
    thinking = top.peek("thinking")
    return True if isinstance(thinking, dict) and thinking.get("display") == "summarized" else None


def _reasoning(top: Obj) -> tuple[str | int | bool | None, Format | None]:
    found: str | int | bool | None = None
    thinking = top.obj("thinking")
    if thinking is not None:
        match thinking.text("type"):
            case "enabled":
                found = thinking.whole("budget_tokens")
            case "disabled":
                found = False
            case "adaptive":
                found = True
            case other:
                top.extra["$.thinking.type"] = other
        thinking.drop("display", "summarized")
        thinking.close()
    format_: Format | None = None
    output = top.obj("output_config")
    if output is not None:
        effort = output.text("effort")
        # A budget says more than an effort; `adaptive` says less.
        if effort is not None and (found is None or found is True):
            found = effort
        wanted = output.obj("format")
        if wanted is not None:
            wanted.text("type")
            format_ = Format(wanted.dict("schema"))
            wanted.close()
        output.close()
    # "output_format … has moved to output_config.format. … The old parameter will continue working for a transition
    # period." https://platform.claude.com/docs/en/build-with-claude/structured-outputs
    older = top.obj("output_format")
    if older is not None:
        older.text("type")
        format_ = format_ or Format(older.dict("schema"))
        older.close()
    return found, format_
