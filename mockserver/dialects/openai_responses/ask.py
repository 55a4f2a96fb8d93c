"""The request of a Responses client; it knows the ask and what was heard, no provider."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from ...speech import (
    Allowed,
    Ask,
    Audio,
    Block,
    Call,
    Document,
    Image,
    Named,
    Refuse,
    Result,
    Text,
    Think,
    Tool,
    Turn,
    Video,
)
from ..contract import Conversation, HttpAsk, before, call_of, merge, standing
from .words import NAME, PATH, SEALS


def ask(conversation: Conversation, *, model: str, stream: bool, key: str = "") -> HttpAsk:
    """The request for the last exchange, with everything before it as history, echoed as it was heard.

    A single system text goes into `instructions`, several ones become messages.
    """
    now = standing(conversation)
    system = conversation[0][0].system
    body: dict[str, Any] = {"model": conversation[-1][0].model or model}
    if len(system) == 1:
        body["instructions"] = system[0]
    body["input"] = [*_more_tools(now.tools), *_items(conversation, () if len(system) == 1 else system)]
    body.update(_settings(now))
    if stream:
        body["stream"] = True
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"} | now.headers
    return HttpAsk("POST", f"/v1{PATH}", headers, merge(body, now.also.get(NAME, {})))


# ---- history ---------------------------------------------------------------------------------------------------------


def _items(conversation: Conversation, system: tuple[str, ...]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = [{"role": "system", "content": text} for text in system]
    for at, (asked, heard) in enumerate(conversation):
        calls = {b.id: b for turn in asked.turns for b in turn.blocks if isinstance(b, Call)}
        for turn in asked.turns:
            out.extend(_turn(turn, calls))
        out.extend(_output(result, call_of(result, before(conversation, at))) for result in asked.results)
        if asked.user:
            out.append({"role": "user", "content": _content(asked.user)})
        if heard is not None:
            out.extend(heard.echo)
    return out


def _turn(turn: Turn, calls: Mapping[str, Call]) -> Iterable[dict[str, Any]]:
    """Each run of blocks that one item can hold is one item, so that the order is kept."""
    if turn.role == "assistant":
        for block in turn.blocks:
            yield _said(block)
        return
    run: list[Block] = []
    for block in turn.blocks:
        if isinstance(block, Result):
            if run:
                yield {"role": turn.role, "content": _content(tuple(run))}
                run = []
            yield _output(block, calls.get(block.id) or Call(block.id, "", "{}"))
        else:
            run.append(block)
    if run:
        yield {"role": turn.role, "content": _content(tuple(run))}


def _said(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return _message({"type": "output_text", "text": text, "annotations": []})
        case Refuse(text):
            return _message({"type": "refusal", "refusal": text})
        case Call(id, name, arguments, _, kind, namespace):
            group = {"namespace": namespace} if namespace else {}
            if kind == "custom":
                return {"type": "custom_tool_call", "call_id": id, "name": name, **group, "input": arguments}
            return {"type": "function_call", "call_id": id, "name": name, **group, "arguments": arguments}
        case Think(text, seal):
            summary = [{"type": "summary_text", "text": text}] if text else []
            return {"type": "reasoning", "summary": summary} | ({"encrypted_content": seal} if seal else {})
        case Image() | Document() | Audio() | Video() | Result():
            raise ValueError(f"an assistant turn cannot hold {block}")


def _message(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [part]}


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _content(blocks: tuple[Block, ...]) -> str | list[dict[str, Any]]:
    match blocks:
        case (Text(text),):
            return text
        case _:
            return [_part(block) for block in blocks]


def _part(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"type": "input_text", "text": text}
        case Image(mime, data, url):
            return {"type": "input_image", "image_url": url or f"data:{mime};base64,{data}", "detail": "auto"}
        case Document(url=str() as url):
            return {"type": "input_file", "file_url": url}
        case Document(mime, data, _, text, name):
            # https://platform.openai.com/docs/guides/pdf-files?api-mode=responses
            if data is None:
                mime, data = mime or "text/plain", base64.b64encode((text or "").encode()).decode()
            filename = name or ("document.pdf" if mime == "application/pdf" else "document.txt")
            return {"type": "input_file", "filename": filename, "file_data": f"data:{mime};base64,{data}"}
        case Audio(mime, data):
            kind = (mime or "audio/wav").rpartition("/")[2]
            return {"type": "input_audio", "input_audio": {"data": data, "format": {"mpeg": "mp3"}.get(kind, kind)}}
        case Think() | Refuse() | Call() | Result() | Video():
            raise ValueError(f"a user turn cannot hold {block}")


def _output(result: Result, call: Call) -> dict[str, Any]:
    """An output has no slot for "this is an error"; its text is all there is."""
    output = _content(result.blocks) if result.blocks else ""
    kind = "custom_tool_call_output" if call.kind == "custom" else "function_call_output"
    return {"type": kind, "call_id": call.id, "output": output}


# ---- settings --------------------------------------------------------------------------------------------------------


def _settings(now: Ask) -> dict[str, Any]:
    """There are no stop sequences, no seed, no top_k and no penalties here: this client cannot ask for them."""
    out: dict[str, Any] = {}
    beside = [tool for tool in now.tools if not tool.among]
    if beside:
        out["tools"] = _tools(beside)
    kinds = {tool.name: tool.kind for tool in now.tools}
    match now.tool_choice:
        case Named(name):
            out["tool_choice"] = {"type": kinds.get(name, "function"), "name": name}
        case Allowed(names, mode):
            # https://platform.openai.com/docs/api-reference/responses/create#responses-create-tool_choice
            allowed = [{"type": kinds.get(name, "function"), "name": name} for name in names]
            out["tool_choice"] = {"type": "allowed_tools", "mode": mode, "tools": allowed}
        case str(word):
            out["tool_choice"] = word
        case None:
            pass
    plain = {
        "parallel_tool_calls": now.parallel,
        "temperature": now.temperature,
        "top_p": now.top_p,
        "max_output_tokens": now.max_tokens,
    }
    out.update({key: value for key, value in plain.items() if value is not None})
    if isinstance(now.reasoning, str):
        # A client that keeps the history itself asks for the reasoning in a form that it can send back.
        # https://platform.openai.com/docs/guides/reasoning#encrypted-reasoning-items
        out |= {
            "reasoning": {"effort": now.reasoning, "summary": "auto"},
            "include": [SEALS],
            "store": False,
        }
    if now.format is not None:
        if now.format.schema is None:
            out["text"] = {"format": {"type": "json_object"}}
        else:
            wanted: dict[str, Any] = {"type": "json_schema", "name": now.format.name, "schema": now.format.schema}
            if now.format.strict is not None:
                wanted["strict"] = now.format.strict
            out["text"] = {"format": wanted}
    return out


def _tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Those of one namespace stand in one group, at the place of its first.

    https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools
    """
    out: list[dict[str, Any]] = []
    groups: dict[str, list[dict[str, Any]]] = {}
    for tool in tools:
        if tool.namespace is None:
            out.append(_tool(tool))
            continue
        if tool.namespace not in groups:
            groups[tool.namespace] = []
            # "description: A description of the namespace shown to the model." is required.
            group = {"type": "namespace", "name": tool.namespace, "description": f"Tools of {tool.namespace}."}
            out.append(group | {"tools": groups[tool.namespace]})
        groups[tool.namespace].append(_tool(tool))
    return out


def _tool(tool: Tool) -> dict[str, Any]:
    if tool.kind == "custom":
        # https://platform.openai.com/docs/guides/function-calling#custom-tools
        custom: dict[str, Any] = {"type": "custom", "name": tool.name, "description": tool.description}
        if tool.grammar is not None:
            grammar = {"syntax": tool.grammar.syntax, "definition": tool.grammar.definition}
            custom["format"] = {"type": "grammar"} | grammar
        return {key: value for key, value in custom.items() if value is not None}
    function = {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {key: value for key, value in function.items() if value is not None}


def _more_tools(tools: Iterable[Tool]) -> Iterable[dict[str, Any]]:
    """The item by which tools arrive inside the input; "Only `developer` is supported" as its role."""
    among = [tool for tool in tools if tool.among]
    if among:
        yield {"type": "additional_tools", "role": "developer", "tools": _tools(among)}
