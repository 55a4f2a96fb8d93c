"""Decodes Responses requests into neutral requests."""

from __future__ import annotations

from copy import deepcopy
from mimetypes import guess_type
from typing import Any

from msgspec.structs import replace

from ...errors import Malformed
from ...ir import (
    Audio,
    Block,
    Citation,
    Document,
    Extra,
    Image,
    Media,
    Opaque,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Video,
    signatures,
)
from ...ir.data_url import media_of
from ...ir.known_tools import KnownTools, take_tools
from ...ir.media_type import media_type
from ...ir.repairs import Repairs
from ...wire import json_fields
from ...wire.json_fields import alias, each, maybe, need, take
from ..openai.content import arguments_in, content_in, split_annotations
from ..openai.media import audio_in
from ..protocol import UrlParams
from . import signature_carrier
from .client_tools import CALL_NAMES, CLIENT_TOOLS, OUTPUTS, client_call_in, client_result_in, client_tool_in
from .hosted_tools import hosted_tool_in
from .tables import ADDITIONAL_TOOLS, LOGPROBS, NAME, STORE_RESPONSE, STORED_INPUT, USER_ITEMS


def decode_request(body: dict[str, Any], url: UrlParams) -> Request:
    """Decodes a request body; raises Malformed with the path of the faulty field."""
    model = need(body, "model", str)
    decoder = _InputDecoder()
    instructions = take(body, "instructions", str)
    if instructions is not None:
        # marks the turn as the instructions; a null is never declared as a loss
        decoder.turns.append(Turn("system", (Text(instructions),), {"instructions": None}))
    generates = body.get("generate") is not False  # else it makes ready for requests that go on with it
    required = generates and not any(body.get(key) for key in STORED_INPUT)
    decoder.decode(body.pop("input", None), required=required)
    repairs = Repairs()
    tools = _without_repeated((*take_tools(body, tools_in), *decoder.tools), repairs)
    format_ = _format_in(body)
    if body.get("store") is True:
        body[STORE_RESPONSE] = body.pop("store")
    if decoder.additional:
        body[ADDITIONAL_TOOLS] = decoder.additional
    return Request(
        protocol=NAME,
        model=model,
        turns=tuple(decoder.turns),
        tools=tools,
        tool_choice=_tool_choice_in(body.pop("tool_choice", None), repairs),
        parallel=take(body, "parallel_tool_calls", bool),
        sampling=Sampling(
            take(body, "temperature", float),
            take(body, "top_p", float),
            frequency_penalty=take(body, "frequency_penalty", float),
            presence_penalty=take(body, "presence_penalty", float),
        ),
        max_tokens=take(body, "max_output_tokens", int),
        reasoning=_reasoning_config_in(take(body, "reasoning", dict)),
        format=format_,
        user=take(body, "user", str),
        stream=take(body, "stream", bool, False),
        logprobs=_logprobs_in(body),
        extra=body or None,
        repaired=repairs.names(),
    )


def _logprobs_in(body: dict[str, Any]) -> int | None:
    """Takes how many likeliest tokens are asked for at each place; `include` stays, for a backend of this protocol.

    "message.output_text.logprobs: Include logprobs with assistant messages."
    https://platform.openai.com/docs/api-reference/responses/create
    """
    include = body.get("include")
    included = type(include) is list and LOGPROBS in include
    most = take(body, "top_logprobs", int)
    return (most or 0) if included else most or None


class _InputDecoder:
    """Decodes items into turns; consecutive items of the model become one assistant turn, results one user turn."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.tools: list[Tool | Opaque] = []
        self.additional: list[list[Any]] = []  # the `additional_tools` items, each with its index
        self._role: Role = "user"
        self._blocks: list[Block] = []
        self._index = -1

    def decode(self, items: Any, *, required: bool) -> None:
        if type(items) is str:
            self.turns.append(Turn("user", (Text(items),)))
        elif type(items) is list:
            if not items and required:
                raise Malformed("input", "must hold at least one item")
            each(items, "input", self._item)
            self._flush()
        elif items is not None:
            raise Malformed("input", f"must be a string or an array of items, is {json_fields.describe(items)}")
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
                self._add("assistant", *(block for _, block in reasoning_in(item, self._index)))
            case "function_call" | "custom_tool_call":
                self._add("assistant", call_in(kind, item))
            case "function_call_output" | "custom_tool_call_output" if "call_id" in item:
                self._add("user", _result_in(kind, item))
            case "additional_tools":
                self.additional.append([self._index, {"type": kind, **deepcopy(item)}])
                self.tools += [_mark_additional(tool) for tool in tools_in(take(item, "tools", list, []))]
            case str() if kind in CALL_NAMES and (call := client_call_in(kind, item)) is not None:
                self._add("assistant", call)
            case str() if kind in OUTPUTS and (result := client_result_in(kind, item)) is not None:
                self._add("user", result)
                if kind == "tool_search_output":  # "tools: The loaded tool definitions", which the model can now call
                    found = deepcopy(maybe(item, "tools", list) or [])
                    self.tools += [_mark_additional(tool) for tool in tools_in(found)]
            case str():
                user = kind.endswith("_output") or kind in USER_ITEMS
                self._add("user" if user else "assistant", Opaque(NAME, kind, {"type": kind, **item}))
            case _:
                raise Malformed("type", "is required where an item has neither a role nor an id")

    def _message(self, item: dict[str, Any]) -> None:
        role = need(item, "role", str)
        match role:
            case "assistant":
                self._add("assistant", *(block for _, block in message_in(item, self._index)))
            case "user" | "system" | "developer":
                self._flush()
                self.turns.append(Turn(role, content_in(item, "content", part_in), item or None))
            case _:
                raise Malformed("role", f"'{role}' is none of system, developer, user, assistant")

    def _add(self, role: Role, *blocks: Block) -> None:
        if role != self._role:
            self._flush()
            self._role = role
        self._blocks += blocks

    def _flush(self) -> None:
        if self._blocks:
            blocks = (
                signature_carrier.attach_signatures(self._blocks) if self._role == "assistant" else tuple(self._blocks)
            )
            self.turns.append(Turn(self._role, blocks))
            self._blocks = []


# ---- items -----------------------------------------------------------------------------------------------------------

PartKey = tuple[str, int]
"""A part's place in its item: the list that holds it, and the index in that list.

The extra fields of the item itself are kept with those of its first block, under `item.`.
"""


def message_in(item: dict[str, Any], group: int) -> list[tuple[PartKey, Block]]:
    """Decodes the parts of a message of the model, which share `group`."""
    take(item, "role", str)
    blocks = [
        replace(block, group=group) if isinstance(block, Text | Refusal) else block
        for block in content_in(item, "content", part_in, required=False)
    ]
    return _keyed("content", blocks, item)


def reasoning_in(item: dict[str, Any], group: int) -> list[tuple[PartKey, Block]]:
    """Decodes a reasoning item: its summaries, then its content; the last block gets the item's signature."""
    summaries = each(take(item, "summary", list, []), "summary", lambda part: reasoning_part_in(part, group, True))
    content = each(take(item, "content", list, []), "content", lambda part: reasoning_part_in(part, group, False))
    blocks = [(("summary", i), block) for i, block in enumerate(summaries)]
    blocks += [(("content", i), block) for i, block in enumerate(content)]
    signature = take(item, "encrypted_content", str)
    if not blocks:
        blocks.append((("summary", 0), Reasoning("", redacted=bool(signature), group=group)))
    if signature:
        key, last = blocks[-1]
        blocks[-1] = key, replace(last, signature=signatures.parse_token(signature, NAME))
    key, first = blocks[0]
    blocks[0] = key, replace(first, extra=_with_item_extra(first.extra, item))
    return list(blocks)


def reasoning_part_in(part: dict[str, Any], group: int, summary: bool) -> Reasoning:
    part.pop("type", None)
    return Reasoning(take(part, "text", str, ""), summary=summary, group=group, extra=part or None)


def call_in(kind: str, item: dict[str, Any]) -> ToolCall:
    id_, name, namespace = need(item, "call_id", str), need(item, "name", str), take(item, "namespace", str)
    if kind == "custom_tool_call":
        return ToolCall(id_, name, need(item, "input", str), "custom", namespace, extra=item or None)
    return ToolCall(id_, name, arguments_in(item), namespace=namespace, extra=item or None)


def _result_in(kind: str, item: dict[str, Any]) -> ToolResult:
    id_, name = need(item, "call_id", str), take(item, "name", str)
    blocks = content_in(item, "output", part_in)
    return ToolResult(id_, blocks, False, name, "function" if kind[0] == "f" else "custom", item or None)


def _keyed(list_name: str, blocks: list[Block], item: dict[str, Any]) -> list[tuple[PartKey, Block]]:
    if blocks:
        first = blocks[0]
        if isinstance(first, Text | Refusal | Image | Document | Audio):
            blocks[0] = replace(first, extra=_with_item_extra(first.extra, item))
    return [((list_name, i), block) for i, block in enumerate(blocks)]


def _with_item_extra(extra: Extra, item: dict[str, Any]) -> Extra:
    if not item:
        return extra
    return {**(extra or {}), **{f"item.{key}": value for key, value in item.items()}}


def part_in(part: dict[str, Any]) -> Block:
    """Decodes one part of a content or an output; an unknown type is kept whole."""
    kind = need(part, "type", str)
    match kind:
        case "input_text" | "output_text" | "text":
            citations = citations_in(part)
            if not part.get("logprobs"):
                part.pop("logprobs", None)
            return Text(need(part, "text", str), citations, extra=part or None)
        case "refusal":
            return Refusal(need(part, "refusal", str), extra=part or None)
        case "input_image":
            url = take(part, "image_url", str)
            media = media_of(url) if url else Media(file_id=need(part, "file_id", str))
            return Image(media, part or None)
        case "input_file":
            data, url, name = take(part, "file_data", str), take(part, "file_url", str), take(part, "filename", str)
            if data is not None:
                media = media_of(data)
                if media.url:  # bare base64, which some clients send
                    media = Media(media_type(guess_type(name or "")[0], data), data)
            else:
                media = media_of(url) if url else Media(file_id=need(part, "file_id", str))
            return Document(replace(media, name=name), part or None)
        case "input_video" if (
            type(part.get("video_url")) is str
        ):  # https://www.openresponses.org/reference#inputvideocontent
            return Video(media_of(need(part, "video_url", str)), part or None)
        case "input_audio":
            sound = need(part, "input_audio", dict)
            return Audio(audio_in(sound), part or None)
        case _:
            return Opaque(NAME, f"content.{kind}", {"type": kind, **part})


def citations_in(part: dict[str, Any]) -> tuple[Citation, ...]:
    """Pops the URL citations of a text; annotations of another kind are left in it."""
    citations, others = split_annotations(take(part, "annotations", list, []), citation_in)
    if others:
        part["annotations"] = others
    return citations


def citation_in(annotation: Any) -> Citation | None:
    match annotation:
        case {"type": "url_citation", "url": str(url)}:
            start, end = maybe(annotation, "start_index", int), maybe(annotation, "end_index", int)
            return Citation(url, maybe(annotation, "title", str), None, start, end)
    return None


# ---- tools -----------------------------------------------------------------------------------------------------------


def tools_in(tools: list[Any]) -> tuple[Tool | Opaque, ...]:
    return tuple(tool for group in each(tools, "tools", _tool_in) for tool in group)


KNOWN_TOOLS = KnownTools(tools_in)


def _without_repeated(tools: tuple[Tool | Opaque, ...], repairs: Repairs) -> tuple[Tool | Opaque, ...]:
    """Leaves out the later definition of a tool that was loaded later, or that is the same once more.

    A tool that a search loads was often defined before, and other protocols refuse two tools of one name.
    """
    kept: list[Tool | Opaque] = []
    known: dict[tuple[str, str | None], Tool] = {}
    for tool in tools:
        if isinstance(tool, Tool):
            first = known.setdefault((tool.name, tool.namespace), tool)
            late = not _DEFERRED.isdisjoint(tool.extra or ()) or not _DEFERRED.isdisjoint(first.extra or ())
            if first is not tool and (late or replace(first, extra=None) == replace(tool, extra=None)):
                repairs.add("tool_repeated")
                continue
        kept.append(tool)
    return tuple(kept)


_DEFERRED = frozenset((ADDITIONAL_TOOLS, "defer_loading"))
"""Extra fields of a tool that is loaded later than the others."""


def _mark_additional(tool: Tool | Opaque) -> Tool | Opaque:
    """Marks a tool of an `additional_tools` item, which is sent to a Responses backend in that item alone."""
    if isinstance(tool, Opaque):
        return replace(tool, data={**tool.data, ADDITIONAL_TOOLS: None})
    return replace(tool, extra={**(tool.extra or {}), ADDITIONAL_TOOLS: None})


def _tool_in(tool: dict[str, Any]) -> tuple[Tool | Opaque, ...]:
    kind = need(tool, "type", str)
    match kind:
        case "function":
            name, description = need(tool, "name", str), take(tool, "description", str)
            parameters, strict = take(tool, "parameters", dict), take(tool, "strict", bool)
            return (Tool(name, description, parameters, strict, extra=tool or None),)
        case "custom":
            name, description = need(tool, "name", str), take(tool, "description", str)
            grammar = _grammar_in(take(tool, "format", dict))
            return (Tool(name, description, kind="custom", grammar=grammar, extra=tool or None),)
        case "namespace":
            name = need(tool, "name", str)
            inner = tools_in(need(tool, "tools", list))
            extra = {f"namespace.{key}": value for key, value in tool.items()}
            named = [replace(item, namespace=name) if isinstance(item, Tool) else item for item in inner]
            if named and isinstance(named[0], Tool) and extra:
                named[0] = replace(named[0], extra={**(named[0].extra or {}), **extra})
            return tuple(named)
        case _:
            own = client_tool_in(kind, tool)
            return (own or Opaque(NAME, kind, {"type": kind, **tool}, hosted=hosted_tool_in(kind, tool)),)


def _grammar_in(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    """Nests a grammar as chat and the neutral form do; the format `text` is none."""
    if fields is None or fields.get("type") == "text":
        return None
    if fields.get("type") != "grammar":
        return fields
    return {"type": "grammar", "grammar": {key: value for key, value in fields.items() if key != "type"}}


def _tool_choice_in(choice: Any, repairs: Repairs) -> ToolChoice | None:
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
        case {"function": {"name": str(name)}} | {"custom": {"name": str(name)}}:  # as chat has it
            repairs.add("tool_choice")
            return ToolChoice("named", (name,))
        case {"name": str(name)} if "type" not in choice:
            repairs.add("tool_choice")
            return ToolChoice("named", (name,))
        case {"type": str(kind)} if kind in CLIENT_TOOLS:
            return ToolChoice("named", (kind,))
        case {"type": str(kind)}:
            tool = hosted_tool_in(kind, choice)
            return ToolChoice("auto", (), {"forced_hosted_tool": choice}, None if tool is None else tool.kind)
        case _:
            raise Malformed("tool_choice", "must be auto, none, required, or an object that names a tool")


# ---- the rest --------------------------------------------------------------------------------------------------------


def _reasoning_config_in(fields: dict[str, Any] | None) -> ReasoningConfig | None:
    if fields is None:
        return None
    alias(fields, "summary", "generate_summary")  # "Deprecated: use `summary` instead."
    effort = take(fields, "effort", str)
    return ReasoningConfig(effort, summary=take(fields, "summary", str), extra=fields or None)


def _format_in(body: dict[str, Any]) -> ResponseFormat | None:
    """Pops the `format` of `text`; its other fields stay in the body, under `text.`."""
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
            return ResponseFormat(kind, extra=fields or None)
        case "json_schema":
            name = need(fields, "name", str)
            schema, description = need(fields, "schema", dict), take(fields, "description", str)
            return ResponseFormat(
                "json_schema", schema, name, description, take(fields, "strict", bool), fields or None
            )
        case _:
            raise Malformed("text.format.type", f"'{kind}' is none of text, json_object, json_schema")
