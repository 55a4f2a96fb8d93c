"""What an Ollama chat request means in neutral terms; what has no noun is listed, nothing is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...frames import dump
from ...speech import Block, Call, Format, Image, Result, Role, Text, Think, Tool, Turn
from ..body import Obj
from ..contract import Malformed, Understood
from .words import HARMLESS, OPTIONS

ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


def read(path: str, headers: Mapping[str, str], body: Any) -> Understood:
    """Raises `Malformed`; `extra` lists every part of the body that is not in the other fields."""
    extra: dict[str, Any] = {}
    top = Obj(body, "$", extra)
    for key, defaults in HARMLESS.items():
        top.drop(key, *defaults)
    turns = _turns(top.objs("messages"))
    lead = 0
    while lead < len(turns) and turns[lead].role == "system" and _only_text(turns[lead]):
        lead += 1
    options = top.obj("options") or Obj({}, "$.options", extra)
    # "num_predict: … -1 = infinite generation". https://docs.ollama.com/modelfile#valid-parameters-and-values
    options.drop("num_predict", -1, -2)
    stream = top.flag("stream")
    understood = Understood(
        model=top.text("model"),
        stream=True if stream is None else stream,
        system=tuple(block.text for turn in turns[:lead] for block in turn.blocks if isinstance(block, Text)),
        turns=tuple(turns[lead:]),
        tools=tuple(tool for tool in map(_tool, top.objs("tools")) if tool is not None),
        sampling={word: value for word, key in OPTIONS.items() if (value := _sampled(options, key)) is not None},
        max_tokens=options.whole("num_predict"),
        stop=_stop(options),
        reasoning=_think(top),
        format=_format(top),
        extra=extra,
    )
    options.close()
    top.close()
    return understood


# ---- messages --------------------------------------------------------------------------------------------------------


def _only_text(turn: Turn) -> bool:
    return all(isinstance(block, Text) for block in turn.blocks)


def _turns(messages: tuple[Obj, ...]) -> list[Turn]:
    turns: list[Turn] = []
    in_results = False
    for message in messages:
        # The server takes roles in any case.
        role = (message.need("role").text("role") or "").lower()
        if role == "tool":
            # Results that follow one another answer one turn: they are one neutral user turn.
            result = _result(message)
            if in_results:
                turns[-1] = Turn("user", (*turns[-1].blocks, result))
            else:
                turns.append(Turn("user", (result,)))
            in_results = True
        elif role in ROLES:
            turns.append(Turn(ROLES[role], _blocks(message)))
            in_results = False
        else:
            raise Malformed(f"{message.path}.role", f"no such role: {role!r}")
        message.close()
    return turns


def _result(message: Obj) -> Result:
    # `tool_name` took the place of `name`. https://docs.ollama.com/capabilities/tool-calling
    name, older = message.text("tool_name"), message.text("name")
    return Result(message.text("tool_call_id") or "", _said(message), False, name if name is not None else older)


def _blocks(message: Obj) -> tuple[Block, ...]:
    thinking = message.text("thinking")
    blocks: list[Block] = [Think(thinking)] if thinking else []
    blocks.extend(_said(message))
    for call in message.objs("tool_calls"):
        function = call.need("function").obj("function")
        if function is None:
            continue
        arguments = dump(function.dict("arguments") or {})
        blocks.append(Call(call.text("id") or "", function.need("name").text("name") or "", arguments))
        function.any("index")
        call.drop("type", "function")
        function.close()
        call.close()
    return tuple(blocks)


def _said(message: Obj) -> tuple[Block, ...]:
    text, images = message.text("content"), message.list("images") or []
    for at, image in enumerate(images):
        if not isinstance(image, str):
            raise Malformed(f"{message.path}.images[{at}]", "base64 was wanted")
    return (*((Text(text),) if text else ()), *(Image(None, image) for image in images))


# ---- settings --------------------------------------------------------------------------------------------------------


def _tool(tool: Obj) -> Tool | None:
    kind, function = tool.text("type"), tool.obj("function")
    if kind not in (None, "function") or function is None:
        tool.extra[tool.path] = {"type": kind}
        return None
    found = Tool(function.need("name").text("name") or "", function.text("description"), function.dict("parameters"))
    function.close()
    tool.close()
    return found


def _sampled(options: Obj, key: str) -> float | int | None:
    value = options.number(key)
    if key in ("top_k", "seed") and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _stop(options: Obj) -> tuple[str, ...]:
    value = options.any("stop")
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise Malformed("$.options.stop", "an array of strings was wanted")


def _think(top: Obj) -> str | bool | None:
    return top.text("think") if isinstance(top.peek("think"), str) else top.flag("think")


def _format(top: Obj) -> Format | None:
    value = top.any("format")
    match value:
        case None:
            return None
        case "json":
            return Format()
        case dict():
            return Format(value)
        case _:
            raise Malformed("$.format", '"json" or a JSON schema was wanted')
