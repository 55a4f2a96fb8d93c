"""A Responses client's request as the neutral form."""

from __future__ import annotations

from copy import deepcopy
from mimetypes import guess_type
from typing import Any

from msgspec.structs import replace

from ... import seals, wire
from ...errors import Malformed
from ...ir import (
    Audio,
    Block,
    Citation,
    Document,
    Format,
    Image,
    Media,
    Opaque,
    Own,
    Reasoning,
    Refusal,
    Request,
    Role,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ...wire import each, need, take
from ..contract import Where
from . import rider
from .words import NAME, PLACED, STORE, STORED, USER_SIDE


def decode_request(body: dict[str, Any], where: Where) -> Request:
    model = need(body, "model", str)
    given = _Input()
    instructions = take(body, "instructions", str)
    if instructions is not None:
        # the null says where this turn came from; a null is never a loss
        given.turns.append(Turn("system", (Text(instructions),), {"instructions": None}))
    given.read(body.pop("input", None), required=not any(body.get(key) for key in STORED))
    tools = tools_in(take(body, "tools", list, []), "tools") + tuple(given.tools)
    format_ = _format_in(body)
    if body.get("store") is True:
        body[STORE] = body.pop("store")
    if given.places:
        body[PLACED] = given.places
    return Request(
        dialect=NAME,
        model=model,
        turns=tuple(given.turns),
        tools=tools,
        tool_choice=_tool_choice_in(body.pop("tool_choice", None)),
        parallel=take(body, "parallel_tool_calls", bool),
        sampling=Sampling(
            take(body, "temperature", float),
            take(body, "top_p", float),
            frequency_penalty=take(body, "frequency_penalty", float),
            presence_penalty=take(body, "presence_penalty", float),
        ),
        max_tokens=take(body, "max_output_tokens", int),
        reasoning=_thinking_in(take(body, "reasoning", dict)),
        format=format_,
        user=take(body, "user", str),
        stream=take(body, "stream", bool, False),
        own=body or None,
    )


class _Input:
    """Items as turns: a run of what the model said is one assistant turn, a run of results one user turn."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.tools: list[Tool | Opaque] = []
        self.places: list[list[Any]] = []  # the items that brought tools, each with its index
        self._role: Role = "user"
        self._blocks: list[Block] = []
        self._index = -1

    def read(self, items: Any, *, required: bool) -> None:
        if type(items) is str:
            self.turns.append(Turn("user", (Text(items),)))
        elif type(items) is list:
            if not items and required:
                raise Malformed("input", "must hold at least one item")
            each(items, "input", self._item)
            self._flush()
        elif items is not None:
            raise Malformed("input", f"must be a string or an array of items, is {wire.describe(items)}")
        elif required:
            raise Malformed("input", "is required and must be a string or an array of items")

    def _item(self, item: dict[str, Any]) -> None:
        self._index += 1
        kind = take(item, "type", str)
        if kind is None:
            kind = "message" if "role" in item else "item_reference" if "id" in item else None
        match kind:
            case "message":
                self._message(item)
            case "reasoning":
                self._say("assistant", *(block for _, block in reasoning_in(item, self._index)))
            case "function_call" | "custom_tool_call":
                self._say("assistant", call_in(kind, item))
            case "function_call_output" | "custom_tool_call_output" if "call_id" in item:
                self._say("user", _result_in(kind, item))
            case "additional_tools":
                self.places.append([self._index, {"type": kind, **deepcopy(item)}])
                self.tools += [_placed(tool) for tool in tools_in(take(item, "tools", list, []), "tools")]
            case str():
                user = kind.endswith("_output") or kind in USER_SIDE
                self._say("user" if user else "assistant", Opaque(NAME, kind, {"type": kind, **item}))
            case _:
                raise Malformed("type", "is required where an item has neither a role nor an id")

    def _message(self, item: dict[str, Any]) -> None:
        role = need(item, "role", str)
        match role:
            case "assistant":
                self._say("assistant", *(block for _, block in message_in(item, self._index)))
            case "user" | "system" | "developer":
                self._flush()
                self.turns.append(Turn(role, _content_in(item, "content"), item or None))
            case _:
                raise Malformed("role", f"'{role}' is none of system, developer, user, assistant")

    def _say(self, role: Role, *blocks: Block) -> None:
        if role != self._role:
            self._flush()
            self._role = role
        self._blocks += blocks

    def _flush(self) -> None:
        if self._blocks:
            blocks = rider.settle(self._blocks) if self._role == "assistant" else tuple(self._blocks)
            self.turns.append(Turn(self._role, blocks))
            self._blocks = []


# ---- items -----------------------------------------------------------------------------------------------------------
# An item becomes blocks under keys: the list of the item that a part stands in, and its place there. What is left over
# of the item itself stands in the first block's own, under `item.`.

Key = tuple[str, int]


def message_in(item: dict[str, Any], group: int) -> list[tuple[Key, Block]]:
    """A message of the model: its parts, tied by `group`."""
    take(item, "role", str)
    blocks = [
        replace(block, group=group) if isinstance(block, Text | Refusal) else block
        for block in _content_in(item, "content", required=False)
    ]
    return _keyed("content", blocks, item)


def reasoning_in(item: dict[str, Any], group: int) -> list[tuple[Key, Block]]:
    """A reasoning item: its summaries, then its thoughts; the seal, which is the item's, is on the last."""
    said = [
        (("summary", i), block)
        for i, block in enumerate(
            each(take(item, "summary", list, []), "summary", lambda p: thought_in(p, group, True))
        )
    ]
    said += [
        (("content", i), block)
        for i, block in enumerate(
            each(take(item, "content", list, []), "content", lambda p: thought_in(p, group, False))
        )
    ]
    seal = take(item, "encrypted_content", str)
    if not said:
        said.append((("summary", 0), Reasoning("", redacted=bool(seal), group=group)))
    if seal:
        key, last = said[-1]
        said[-1] = key, replace(last, seal=seals.read(seal, NAME))
    key, first = said[0]
    said[0] = key, replace(first, own=_with_item(first.own, item))
    return list(said)


def thought_in(part: dict[str, Any], group: int, summary: bool) -> Reasoning:
    part.pop("type", None)
    return Reasoning(take(part, "text", str, ""), summary=summary, group=group, own=part or None)


def call_in(kind: str, item: dict[str, Any]) -> ToolCall:
    id_, name, namespace = need(item, "call_id", str), need(item, "name", str), take(item, "namespace", str)
    if kind == "custom_tool_call":
        return ToolCall(id_, name, need(item, "input", str), "custom", namespace, own=item or None)
    arguments = item.pop("arguments", None) or ""
    if type(arguments) is not str:  # some hosts send the object itself
        arguments = wire.encode(arguments).decode()
    return ToolCall(id_, name, arguments, namespace=namespace, own=item or None)


def _result_in(kind: str, item: dict[str, Any]) -> ToolResult:
    id_, name = need(item, "call_id", str), take(item, "name", str)
    blocks = _content_in(item, "output")
    return ToolResult(id_, blocks, False, name, "function" if kind[0] == "f" else "custom", item or None)


def _keyed(where: str, blocks: list[Block], item: dict[str, Any]) -> list[tuple[Key, Block]]:
    if blocks:
        first = blocks[0]
        if isinstance(first, Text | Refusal | Image | Document | Audio):
            blocks[0] = replace(first, own=_with_item(first.own, item))
    return [((where, i), block) for i, block in enumerate(blocks)]


def _with_item(own: Own, item: dict[str, Any]) -> Own:
    if not item:
        return own
    return {**(own or {}), **{f"item.{key}": value for key, value in item.items()}}


def _content_in(item: dict[str, Any], key: str, required: bool = True) -> tuple[Block, ...]:
    content = item.pop(key, None)
    if type(content) is str:
        return (Text(content),) if content or required else ()
    if type(content) is list:
        return each(content, key, part_in)
    if content is None and not required:
        return ()
    if content is None:
        raise Malformed(key, "is required and must be a string or an array of parts")
    raise Malformed(key, f"must be a string or an array of parts, is {wire.describe(content)}")


def part_in(part: dict[str, Any]) -> Block:
    kind = need(part, "type", str)
    match kind:
        case "input_text" | "output_text" | "text":
            citations = citations_in(part)
            if not part.get("logprobs"):
                part.pop("logprobs", None)
            return Text(need(part, "text", str), citations, own=part or None)
        case "refusal":
            return Refusal(need(part, "refusal", str), own=part or None)
        case "input_image":
            url = take(part, "image_url", str)
            media = _media_in(url) if url else Media(file_id=need(part, "file_id", str))
            return Image(media, part or None)
        case "input_file":
            data, url, name = take(part, "file_data", str), take(part, "file_url", str), take(part, "filename", str)
            if data is not None:
                media = _media_in(data)
                if media.url:  # bare base64, which some clients send
                    media = Media(guess_type(name or "")[0], data)
            else:
                media = Media(url=url) if url else Media(file_id=need(part, "file_id", str))
            return Document(replace(media, name=name), part or None)
        case "input_audio":
            sound = need(part, "input_audio", dict)
            return Audio(Media(f"audio/{need(sound, 'format', str)}", need(sound, "data", str)), part or None)
        case _:
            return Opaque(NAME, f"content.{kind}", {"type": kind, **part})


def _media_in(url: str) -> Media:
    """A data URL taken apart, or the URL as it is."""
    if url.startswith("data:"):
        head, comma, data = url[5:].partition(",")
        mime, *flags = head.split(";")
        if comma and "base64" in flags:
            return Media(mime or None, data)
    return Media(url=url)


def citations_in(part: dict[str, Any]) -> tuple[Citation, ...]:
    """The URL citations of a text; annotations of another kind stay behind."""
    found, others = [], []
    for annotation in take(part, "annotations", list, []):
        citation = citation_in(annotation)
        if citation is None:
            others.append(annotation)
        else:
            found.append(citation)
    if others:
        part["annotations"] = others
    return tuple(found)


def citation_in(annotation: Any) -> Citation | None:
    match annotation:
        case {"type": "url_citation", "url": str(url)}:
            return Citation(
                url, annotation.get("title"), None, annotation.get("start_index"), annotation.get("end_index")
            )
    return None


# ---- tools -----------------------------------------------------------------------------------------------------------


def tools_in(tools: list[Any], where: str) -> tuple[Tool | Opaque, ...]:
    return tuple(tool for group in each(tools, where, _tool_in) for tool in group)


def _placed(tool: Tool | Opaque) -> Tool | Opaque:
    """A tool that came inside the input: on offer like the others, but put back by the item that brought it."""
    if isinstance(tool, Opaque):
        return replace(tool, data={**tool.data, PLACED: None})
    return replace(tool, own={**(tool.own or {}), PLACED: None})


def _tool_in(tool: dict[str, Any]) -> tuple[Tool | Opaque, ...]:
    kind = need(tool, "type", str)
    match kind:
        case "function":
            name, description = need(tool, "name", str), take(tool, "description", str)
            parameters, strict = take(tool, "parameters", dict), take(tool, "strict", bool)
            return (Tool(name, description, parameters, strict, own=tool or None),)
        case "custom":
            name, description = need(tool, "name", str), take(tool, "description", str)
            grammar = _grammar_in(take(tool, "format", dict))
            return (Tool(name, description, kind="custom", grammar=grammar, own=tool or None),)
        case "namespace":
            name = need(tool, "name", str)
            inner = tools_in(need(tool, "tools", list), "tools")
            own = {f"namespace.{key}": value for key, value in tool.items()}
            named = [replace(one, namespace=name) if isinstance(one, Tool) else one for one in inner]
            if named and isinstance(named[0], Tool) and own:
                named[0] = replace(named[0], own={**(named[0].own or {}), **own})
            return tuple(named)
        case _:
            return (Opaque(NAME, kind, {"type": kind, **tool}),)


def _grammar_in(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    """The grammar as the neutral form has it, nested as chat nests it; free text is no grammar."""
    if fields is None or fields.get("type") == "text":
        return None
    if fields.get("type") != "grammar":
        return fields
    return {"type": "grammar", "grammar": {key: value for key, value in fields.items() if key != "type"}}


def _tool_choice_in(choice: Any) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(choice)
        case {"type": "function" | "custom", "name": str(name)}:
            return ToolChoice("named", (name,))
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode, "tools": [*tools]}:
            names, others = [], []
            for tool in tools:
                match tool:
                    case {"type": "function" | "custom", "name": str(name)}:
                        names.append(name)
                    case _:
                        others.append(tool)
            return ToolChoice(mode, tuple(names), {"allowed_tools": others} if others else None)
        case {"type": str()}:
            return ToolChoice("auto", own={"forced_hosted_tool": choice})
        case _:
            raise Malformed("tool_choice", "must be auto, none, required, or an object that names a tool")


# ---- the rest --------------------------------------------------------------------------------------------------------


def _thinking_in(fields: dict[str, Any] | None) -> Thinking | None:
    if fields is None:
        return None
    older = take(fields, "generate_summary", str)  # "Deprecated: use `summary` instead."
    word = take(fields, "effort", str)
    return Thinking(word, summary=take(fields, "summary", str) or older, own=fields or None)


def _format_in(body: dict[str, Any]) -> Format | None:
    """The `format` of `text`; what else is in there stays in the body, under `text.`."""
    text = take(body, "text", dict)
    if text is None:
        return None
    fields = take(text, "format", dict)
    body |= {f"text.{key}": value for key, value in text.items()}
    if fields is None:
        return None
    kind = need(fields, "type", str)
    match kind:
        case "text" | "json_object":
            return Format(kind, own=fields or None)
        case "json_schema":
            name = need(fields, "name", str)
            schema, description = need(fields, "schema", dict), take(fields, "description", str)
            return Format("json_schema", schema, name, description, take(fields, "strict", bool), fields or None)
        case _:
            raise Malformed("text.format.type", f"'{kind}' is none of text, json_object, json_schema")
