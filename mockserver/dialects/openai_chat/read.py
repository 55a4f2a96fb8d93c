"""What a Chat Completions request means in neutral terms; what has no noun is listed, nothing is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...speech import (
    SAMPLING,
    Allowed,
    Audio,
    Block,
    Call,
    Choice,
    Document,
    Format,
    Grammar,
    Image,
    Named,
    Refuse,
    Result,
    Role,
    Text,
    Think,
    Tool,
    Turn,
)
from ..body import Obj
from ..contract import Malformed, Understood, data_url
from .words import HARMLESS

ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def read(path: str, headers: Mapping[str, str], body: Any) -> Understood:
    """Raises `Malformed`; `extra` lists every part of the body that is not in the other fields."""
    extra: dict[str, Any] = {}
    top = Obj(body, "$", extra)
    for key, defaults in HARMLESS.items():
        top.drop(key, *defaults)
    turns = _turns(top.need("messages").objs("messages"))
    lead = 0
    while lead < len(turns) and turns[lead].role == "system":
        lead += 1
    options = top.obj("stream_options")
    if options is not None:
        options.flag("include_usage")
        options.flag("include_obfuscation")
        options.close()
    sampling = {word: value for word in SAMPLING if (value := top.number(word)) is not None}
    # "max_tokens: This value is now deprecated in favor of max_completion_tokens"
    # https://platform.openai.com/docs/api-reference/chat/create
    old, new = top.whole("max_tokens"), top.whole("max_completion_tokens")
    understood = Understood(
        model=top.text("model"),
        stream=top.flag("stream") or False,
        system=tuple(block.text for turn in turns[:lead] for block in turn.blocks if isinstance(block, Text)),
        turns=tuple(turns[lead:]),
        tools=(*(tool for tool in map(_tool, top.objs("tools")) if tool is not None), *_functions(top)),
        tool_choice=_choice(top) or _function_choice(top),
        parallel=top.flag("parallel_tool_calls"),
        sampling=sampling,
        max_tokens=new if new is not None else old,
        stop=_stop(top),
        reasoning=_reasoning(top),
        user=top.text("user"),
        format=_format(top),
        extra=extra,
    )
    top.close()
    return understood


# ---- messages --------------------------------------------------------------------------------------------------------


def _turns(messages: tuple[Obj, ...]) -> list[Turn]:
    turns: list[Turn] = []
    in_results = False
    for message in messages:
        role = message.need("role").text("role") or ""
        if role in ("tool", "function"):
            # Results that follow one another answer one turn: they are one neutral user turn.
            # A function message names the function instead: it is what came before tools.
            key = "tool_call_id" if role == "tool" else "name"
            told = message.need(key).text(key) or ""
            answer = _content(message, "content")
            result = Result(told, answer) if role == "tool" else Result("", answer, name=told)
            if in_results:
                turns[-1] = Turn("user", (*turns[-1].blocks, result))
            else:
                turns.append(Turn("user", (result,)))
            in_results = True
        elif role in ROLES:
            blocks = _assistant(message) if role == "assistant" else _content(message, "content")
            turns.append(Turn(ROLES[role], blocks))
            in_results = False
        else:
            raise Malformed(f"{message.path}.role", f"no such role: {role!r}")
        message.close()
    return turns


def _assistant(message: Obj) -> tuple[Block, ...]:
    blocks: list[Block] = []
    details = message.objs("reasoning_details")
    thinking = [message.text(key) for key in ("reasoning_content", "reasoning")]
    if details:
        for detail in details:
            text = detail.text("text") or detail.text("summary") or ""
            signature, data = detail.text("signature"), detail.text("data")
            blocks.append(Think(text, signature or data, redacted=data is not None))
            for key in ("type", "format", "index", "id"):
                detail.any(key)
            detail.close()
    elif any(thinking):
        blocks.append(Think(next(text for text in thinking if text)))
    blocks.extend(_content(message, "content"))
    refusal = message.text("refusal")
    if refusal:
        blocks.append(Refuse(refusal))
    for call in message.objs("tool_calls"):
        if call.peek("type") == "custom":
            blocks.append(_custom_call(call))
            continue
        function = call.need("function").obj("function")
        if function is None:
            continue
        google = call.obj("extra_content")
        inner = google.obj("google") if google is not None else None
        blocks.append(
            Call(
                call.text("id") or "",
                function.need("name").text("name") or "",
                function.text("arguments") or "",
                inner.text("thought_signature") if inner is not None else None,
            )
        )
        call.drop("type", "function")
        call.any("index")
        for obj in (function, inner, google, call):
            if obj is not None:
                obj.close()
    function = message.obj("function_call")
    if function is not None:
        blocks.append(Call("", function.text("name") or "", function.text("arguments") or ""))
        function.close()
    return tuple(blocks)


def _custom_call(call: Obj) -> Call:
    """A call of a tool that takes free text."""
    custom = call.need("custom").obj("custom") or Obj({}, f"{call.path}.custom", call.extra)
    name = custom.need("name").text("name") or ""
    found = Call(call.text("id") or "", name, custom.text("input") or "", kind="custom")
    call.drop("type", "custom")
    call.any("index")
    custom.close()
    call.close()
    return found


def _content(message: Obj, key: str) -> tuple[Block, ...]:
    value = message.any(key)
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (Text(value),)
    if not isinstance(value, list):
        raise Malformed(f"{message.path}.{key}", "a string or an array of parts was wanted")
    return tuple(
        block
        for at, part in enumerate(value)
        if (block := _part(Obj(part, f"{message.path}.{key}[{at}]", message.extra))) is not None
    )


def _part(part: Obj) -> Block | None:
    block: Block | None = None
    match part.need("type").text("type"):
        case "text":
            block = Text(part.need("text").text("text") or "")
        case "refusal":
            block = Refuse(part.text("refusal") or "")
        case "image_url":
            # A compatible host may write the URL alone.
            inner = part.obj("image_url") if isinstance(part.peek("image_url"), dict) else None
            mime, data, url = data_url((inner.text("url") if inner else part.text("image_url")) or "")
            block = Image(mime, data, url)
            if inner is not None:
                inner.drop("detail", "auto")
                inner.close()
        case "file":
            inner = part.need("file").obj("file")
            if inner is not None:
                mime, data, url = data_url(inner.text("file_data") or "")
                block = Document(mime, data, url or None, None, inner.text("filename"), inner.text("file_id"))
                inner.close()
        case "input_audio":
            # Mistral takes the bare base64. https://docs.mistral.ai/capabilities/audio
            bare = isinstance(part.need("input_audio").peek("input_audio"), str)
            if bare:
                block = Audio(None, part.text("input_audio"))
            inner = None if bare else part.obj("input_audio")
            if inner is not None:
                kind = inner.text("format") or ""
                block = Audio(f"audio/{ {'mp3': 'mpeg'}.get(kind, kind) }", inner.text("data"))
                inner.close()
        case other:
            part.extra[part.path] = {"type": other}
    part.close()
    return block


# ---- settings --------------------------------------------------------------------------------------------------------


def _tool(tool: Obj) -> Tool | None:
    kind = tool.text("type")
    if kind == "custom":
        return _custom(tool)
    function = tool.obj("function")
    if kind not in (None, "function") or function is None:
        tool.extra[tool.path] = {"type": kind, **{key: tool.any(key) for key in tool.keys}}
        return None
    strict = function.flag("strict")
    tool_ = Tool(
        function.need("name").text("name") or "",
        function.text("description"),
        function.dict("parameters"),
        strict if strict is not None else tool.flag("strict"),
    )
    function.close()
    tool.close()
    return tool_


def _custom(tool: Obj) -> Tool | None:
    custom = tool.need("custom").obj("custom")
    if custom is None:
        return None
    form = custom.obj("format")
    grammar: Grammar | None = None
    if form is not None:
        form.drop("type", "text")
        inner = form.obj("grammar")
        if inner is not None:
            form.drop("type", "grammar")
            grammar = Grammar(inner.text("syntax") or "", inner.text("definition") or "")
            inner.close()
        form.close()
    name = custom.need("name").text("name") or ""
    found = Tool(name, custom.text("description"), kind="custom", grammar=grammar)
    custom.close()
    tool.close()
    return found


def _choice(top: Obj) -> Choice | None:
    value = top.peek("tool_choice")
    if value is None or isinstance(value, str):
        word = top.text("tool_choice")
        # Mistral's word for it: "any": forces tool use. https://docs.mistral.ai/capabilities/function_calling
        return "required" if word == "any" else word
    single = _tool_named(top.any("tool_choice"))
    if single is not None:
        return Named(single)
    match value:
        case {"type": "allowed_tools", "allowed_tools": {"mode": str(mode), "tools": [*tools]}}:
            names = [_tool_named(tool) for tool in tools]
            if None not in names:
                return Allowed(tuple(name for name in names if name is not None), mode)
    top.extra["$.tool_choice"] = value
    return None


def _tool_named(tool: Any) -> str | None:
    """The name in `{"type": "function", "function": {"name": …}}`, if that is all there is."""
    match tool:
        case {"type": "function", "function": {"name": str(name), **more}, **rest} if not (more or rest):
            return name
        case {"type": "custom", "custom": {"name": str(name), **more}, **rest} if not (more or rest):
            return name
    return None


def _functions(top: Obj) -> tuple[Tool, ...]:
    """ "functions: Deprecated in favor of tools." https://platform.openai.com/docs/api-reference/chat/create"""
    found = []
    for function in top.objs("functions"):
        name, description = function.need("name").text("name") or "", function.text("description")
        found.append(Tool(name, description, function.dict("parameters")))
        function.close()
    return tuple(found)


def _function_choice(top: Obj) -> Choice | None:
    """ "function_call: Deprecated in favor of tool_choice." (same page)"""
    if not isinstance(top.peek("function_call"), dict):
        return top.text("function_call")
    single = top.obj("function_call")
    name = single.need("name").text("name") if single is not None else None
    return None if name is None else Named(name)


def _stop(top: Obj) -> tuple[str, ...]:
    value = top.any("stop")
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise Malformed("$.stop", "a string or an array of strings was wanted")


def _reasoning(top: Obj) -> str | int | None:
    effort = top.text("reasoning_effort")
    # OpenRouter's own field. https://openrouter.ai/docs/use-cases/reasoning-tokens
    own = top.obj("reasoning") if isinstance(top.peek("reasoning"), dict) else None
    if own is None:
        return effort
    found = own.text("effort") or own.whole("max_tokens")
    own.close()
    return effort if effort is not None else found


def _format(top: Obj) -> Format | None:
    wanted = top.obj("response_format")
    if wanted is None:
        return None
    kind = wanted.text("type")
    found: Format | None = None
    if kind == "json_object":
        found = Format()
    elif kind == "json_schema":
        inner = wanted.need("json_schema").obj("json_schema")
        if inner is not None:
            name, strict = inner.text("name") or "answer", inner.flag("strict")
            found = Format(inner.dict("schema"), name, strict, inner.text("description"))
            inner.close()
    elif kind != "text":
        top.extra["$.response_format.type"] = kind
    wanted.close()
    return found
