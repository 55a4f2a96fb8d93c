"""Encodes neutral requests as Responses requests, and declares what is lost."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...ir import (
    Audio,
    Block,
    Document,
    Extra,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Request,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    reasoning_effort,
    signatures,
)
from ...ir.losses import block_feature, declare_loss, is_harmless, request_extra_losses
from ...ir.strict_schema import loosened
from ...ir.tool_names import ToolNameMap
from ...wire import json_fields
from ..openai.media import url_out
from ..openai.tables import CHAT, CHAT_TO_RESPONSES, JSON_HINT, TOOL_NAME
from ..protocol import UpstreamRequest, UpstreamTarget
from .items import call_id, call_out, completed_message, group_by_item, part_out, reasoning_out, split_item_extra
from .tables import ADDITIONAL_TOOLS, LIMITS, NAME, STORE_RESPONSE


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    """Encodes a request for a backend; the result lists the losses and the renamed tools."""
    same = request.protocol == NAME
    sibling: dict[str, Any] = {}  # fields of a chat request that Responses has too
    if request.protocol == CHAT:
        sibling, rest = json_fields.renamed(request.extra, CHAT_TO_RESPONSES)
        request = replace(request, extra=rest)
    losses: list[Loss] = []
    if not same:
        losses = request_extra_losses(request)
        request, loose = loosened(request)
        losses += loose
    # the names of a Responses client are valid here, namespaces included
    names = ToolNameMap(
        replace(request, turns=(), tools=(), tool_choice=None) if same else request, TOOL_NAME, custom=True
    )
    payload: dict[str, Any] = {"model": target.model}
    turns = request.turns
    if turns and _is_instructions(turns[0], same):
        payload["instructions"] = "".join(block.text for block in turns[0].blocks if isinstance(block, Text))
    payload["input"] = _ItemBuilder(request, target, names, losses).build(skip_first="instructions" in payload)
    tools = tools_out(request.tools, names, same)
    if tools:
        payload["tools"] = tools
    if request.tool_choice is not None:
        payload["tool_choice"] = tool_choice_out(request.tool_choice, request.tools, names)
    if request.parallel is not None:
        if "no_parallel_tool_calls" in target.quirks:
            losses.append(declare_loss("parallel", "parallel_tool_calls"))
        else:
            payload["parallel_tool_calls"] = request.parallel
    _sampling_out(request, target, payload, losses)
    _reasoning_out(request, target, payload, losses)
    if request.format is not None:
        _format_out(request.format, same, payload, losses)
    if request.user is not None:
        payload["user"] = request.user
    if request.stream:
        payload["stream"] = True
    if same:
        _put_extra(request.extra, payload)
    else:
        # the default is to keep every response, which clients of other protocols do not expect
        payload["store"] = False
        for key, value in sibling.items():
            if not is_harmless(key, value):
                fields = payload.setdefault("text", {}) if key.startswith("text.") else payload
                fields[key.removeprefix("text.")] = value
    return UpstreamRequest(payload, tuple(losses), target, names.aliases)


def _is_instructions(turn: Turn, same: bool) -> bool:
    """Tells whether the first turn becomes `instructions`: it was, or is one system text of another protocol."""
    if same:
        return turn.extra is not None and "instructions" in turn.extra
    return turn.role == "system" and len(turn.blocks) == 1 and isinstance(turn.blocks[0], Text)


def _put_extra(extra: Extra, payload: dict[str, Any]) -> None:
    for key, value in (extra or {}).items():
        if key.startswith("text."):
            payload.setdefault("text", {})[key[5:]] = value
        elif key == ADDITIONAL_TOOLS:
            for index, item in value:
                payload["input"].insert(index, item)
        elif key == STORE_RESPONSE:
            payload["store"] = value
        else:
            payload[key] = value
    if not payload["input"]:
        del payload["input"]  # all of it is in the provider's store


def _sampling_out(request: Request, target: UpstreamTarget, payload: dict[str, Any], losses: list[Loss]) -> None:
    sampling = request.sampling
    for key in ("temperature", "top_p"):
        value = getattr(sampling, key)
        if value is not None:
            payload[key] = value
    for key in ("frequency_penalty", "presence_penalty"):
        value = getattr(sampling, key)
        if value is None:
            continue
        if "penalties" in target.quirks or request.protocol == NAME:
            payload[key] = value
        elif value:
            losses.append(declare_loss(f"sampling.{key}", "penalties"))
    for key in ("top_k", "seed"):
        if getattr(sampling, key) is not None:
            losses.append(declare_loss(f"sampling.{key}", key))
    if request.stop:
        losses.append(Loss("stop", "stop", "dropped"))
    if request.max_tokens is not None:
        least = int(target.limits.get("min_output_tokens", LIMITS["min_output_tokens"]))
        payload["max_output_tokens"] = (
            max(least, request.max_tokens) if request.protocol != NAME else request.max_tokens
        )
        if payload["max_output_tokens"] != request.max_tokens:
            losses.append(declare_loss("max_tokens", "max_tokens"))


def _reasoning_out(request: Request, target: UpstreamTarget, payload: dict[str, Any], losses: list[Loss]) -> None:
    reasoning = request.reasoning
    if reasoning is None:
        return
    fields: dict[str, Any] = {}
    effort = reasoning_effort.effort(reasoning)
    if effort is not None:
        fields["effort"] = effort
        if reasoning.effort is None and effort != "none":
            losses.append(declare_loss("reasoning", "reasoning"))
    if request.protocol == NAME:
        if reasoning.summary is not None:
            fields["summary"] = reasoning.summary
        payload["reasoning"] = {**fields, **(reasoning.extra or {})}
        return
    summary = SUMMARIES.get(reasoning.summary or "", reasoning.summary)
    if summary is None and reasoning.enabled and reasoning.effort is None:
        summary = "auto"  # in the other protocols thinking that is switched on is also shown
    if summary and effort != "none":
        fields["summary"] = summary
    if fields:
        payload["reasoning"] = fields
    if effort != "none" and "no_encrypted_reasoning" not in target.quirks:
        # "include: reasoning.encrypted_content: … This enables reasoning items to be used in multi-turn conversations
        # when using the Responses API statelessly (like when the `store` parameter is set to `false`)". Models that do
        # not reason refuse it, so it is sent only with a request for reasoning.
        # https://platform.openai.com/docs/api-reference/responses/create
        payload["include"] = ["reasoning.encrypted_content"]


SUMMARIES: dict[str, str | None] = {"summarized": "auto", "omitted": None, "none": None, "": None}
"""Maps other protocols' values for how much thinking to show to `reasoning.summary`."""


# ---- input -----------------------------------------------------------------------------------------------------------


class _ItemBuilder:
    """Encodes the turns of one request as input items, in order, and adds to its losses."""

    def __init__(self, request: Request, target: UpstreamTarget, names: ToolNameMap, losses: list[Loss]) -> None:
        self._turns = request.turns
        self._same = request.protocol == NAME
        self._target = target
        self._names = names
        self._losses = losses
        self._items: list[dict[str, Any]] = []
        blocks = [block for turn in request.turns for block in turn.blocks]
        calls = [block for block in blocks if isinstance(block, ToolCall)]
        self._custom = {call.id for call in calls if call.kind == "custom"}
        self._called = {call.id for call in calls}
        self._answered = {block.id for block in blocks if isinstance(block, ToolResult)}

    def build(self, skip_first: bool) -> list[dict[str, Any]]:
        for t, turn in enumerate(self._turns):
            if skip_first and t == 0:
                continue
            if turn.role == "assistant":
                self._assistant(turn, f"turns[{t}]")
            else:
                self._user(turn, f"turns[{t}]")
        return self._items

    def _extra_out(self, extra: Extra) -> dict[str, Any]:
        """Returns the extra fields where the client speaks this protocol too."""
        return extra if extra and self._same else {}

    def _user(self, turn: Turn, path: str) -> None:
        rest: list[tuple[str, Block]] = []
        items = False
        for b, block in enumerate(turn.blocks):
            match block:
                case ToolResult():
                    items = True
                    if not self._is_orphan(block.id, self._called, f"{path}.blocks[{b}]"):
                        self._items.append(self._result(block, f"{path}.blocks[{b}]"))
                case Opaque(protocol, kind, data) if not kind.startswith("content."):
                    items = True
                    if protocol == NAME:
                        self._items.append(data)
                case _:
                    rest.append((f"{path}.blocks[{b}]", block))
        if rest or not items:
            message = {"type": "message", "role": turn.role, "content": self._content(rest)}
            self._items.append({**message, **self._extra_out(turn.extra)})

    def _is_orphan(self, id_: str, others: set[str], path: str) -> bool:
        """Tells whether a result has no call or a call no result, and declares the loss.

        A Responses client's items are exempt, because the store may hold the other half.
        "No tool output found for function call …", "No tool call found for function call output …": both are a 400.
        https://github.com/continuedev/continue/pull/11785
        """
        if self._same or id_ in others:
            return False
        self._losses.append(declare_loss(path, "orphan"))
        return True

    def _result(self, result: ToolResult, path: str) -> dict[str, Any]:
        kind = "custom_tool_call_output" if result.kind == "custom" or result.id in self._custom else FUNCTION_RESULT
        inner = [(f"{path}.blocks[{b}]", block) for b, block in enumerate(result.blocks)]
        output = self._content(inner, "tool_result_media")
        if result.error:
            # the protocol has no field for it
            self._losses.append(declare_loss(path, "tool_error"))
            if type(output) is str:
                output = f"Error: {output}"
            else:
                output = [{"type": "input_text", "text": "Error:"}, *output]
        return {"type": kind, "call_id": call_id(result.id), "output": output, **self._extra_out(result.extra)}

    def _content(self, blocks: list[tuple[str, Block]], media: str | None = None) -> str | list[dict[str, Any]]:
        """Encodes the content of a message or a result; `media` replaces the name of the feature that a block loses."""
        if len(blocks) > 1 and not self._same:  # an empty part has no meaning
            blocks = [entry for entry in blocks if entry[1] != Text("")]
        match blocks:
            case [(_, Text(text, extra=extra))] if not self._extra_out(extra):
                return text
            case []:
                return ""
        parts = []
        for path, block in blocks:
            part = self._part(block)
            if part is not None:
                parts.append(part)
            elif not isinstance(block, Opaque):  # that one is declared with the extra fields
                self._losses.append(Loss(path, media or block_feature(block), "dropped"))
            if isinstance(block, Document) and block.media.text is not None and block.media.name is not None:
                self._losses.append(declare_loss(f"{path}.media.name", "name"))  # it is sent as text, which has no name
        return parts

    def _part(self, block: Block) -> dict[str, Any] | None:
        match block:
            case Text(text, extra=extra):
                return {"type": "input_text", "text": text, **self._extra_out(extra)}
            case Image(media, extra) if media.data or media.url:
                return {"type": "input_image", "image_url": url_out(media), **self._detail(extra)}
            case Image(media, extra) if self._has_file(media):
                return {"type": "input_image", "file_id": media.file_id, **self._detail(extra)}
            case Document(Media(text=str(text))):
                return {"type": "input_text", "text": text}
            case Document(media, extra) if media.data:
                name = media.name or "document.pdf"
                return {"type": "input_file", "filename": name, "file_data": url_out(media), **self._extra_out(extra)}
            case Document(media, extra) if media.url:
                return {"type": "input_file", "file_url": media.url, **self._extra_out(extra)}
            case Document(media, extra) if self._has_file(media):
                return {"type": "input_file", "file_id": media.file_id, **self._extra_out(extra)}
            case Audio(Media(mime=mime, data=str(data)), extra) if self._same:
                kind = (mime or "audio/wav").partition("/")[2]
                return {"type": "input_audio", "input_audio": {"data": data, "format": kind}, **self._extra_out(extra)}
            case Opaque(protocol, _, data) if protocol == NAME:
                return data
        return None

    def _detail(self, extra: Extra) -> dict[str, Any]:
        """Returns an image's `detail`, which the API's schema requires."""
        return self._extra_out(extra) if self._same else {"detail": "auto"}

    def _has_file(self, media: Media) -> bool:
        """Tells whether there is a file id that OpenAI knows: its ids start with `file-`."""
        return bool(media.file_id) and (self._same or str(media.file_id).startswith("file-"))

    def _assistant(self, turn: Turn, path: str) -> None:
        unsigned: list[tuple[str, Reasoning]] = []  # thinking whose signature may follow
        for group in group_by_item(turn.blocks):
            b, block = group[0]
            block_path = f"{path}.blocks[{b}]"
            if isinstance(block, Reasoning):
                unsigned = self._reasoning(unsigned, group, path)
                continue
            self._unsigned(unsigned)
            unsigned = []
            match block:
                case Text() | Refusal():
                    self._message(group, path)
                case ToolCall() if self._is_orphan(block.id, self._answered, block_path):
                    pass
                case ToolCall():
                    self._signature_loss(block, block_path)
                    self._items.append(call_out(block, self._names, self._extra_out(block.extra)))
                case Opaque(protocol, _, data) if protocol == NAME:
                    self._items.append(data)
                case Opaque():
                    pass  # declared with the extra fields
                case Image() | Document() | Audio() | ToolResult():
                    self._losses.append(Loss(block_path, block_feature(block), "dropped"))
        self._unsigned(unsigned)

    def _message(self, group: list[tuple[int, Block]], path: str) -> None:
        """Adds a message of the model, as a string where that is possible."""
        parts = []
        item: dict[str, Any] = {}
        for b, block in group:
            if isinstance(block, Text):
                self._signature_loss(block, f"{path}.blocks[{b}]")
                if block.signature and not block.text:
                    continue  # it only carried the signature
            if isinstance(block, Text | Refusal):
                part_extra, item_extra = split_item_extra(self._extra_out(block.extra))
                parts.append(part_out(block, part_extra))
                item |= item_extra
        if not parts:
            return
        message = {"type": "message", "role": "assistant"}
        # without an id the SDK's type takes no list of parts from an assistant
        plain = "id" not in item and all(part.get("annotations") == [] for part in parts)
        if plain and (len(parts) == 1 or not self._same):
            self._items += [{**message, "content": part["text"], **item} for part in parts]
        else:
            message = message if self._same else completed_message(message, parts)
            self._items.append({**message, "content": parts, **item})

    def _reasoning(
        self, unsigned: list[tuple[str, Reasoning]], group: list[tuple[int, Block]], path: str
    ) -> list[tuple[str, Reasoning]]:
        """Adds signed thinking and the unsigned before it as one item; returns what is still without a signature."""
        found = [(f"{path}.blocks[{b}]", block) for b, block in group if isinstance(block, Reasoning)]
        signed = next(((at, block.signature) for at, block in reversed(found) if block.signature), None)
        if signed is None:
            if self._same and not unsigned:
                self._items.append(reasoning_out([block for _, block in found], None))
                return []
            return [*unsigned, *found]
        at, signature = signed
        value = signatures.for_backend(signature, NAME, self._target.provider)
        if value is None:
            self._losses.append(declare_loss(f"{at}.seal", "signature"))
            return [*unsigned, *found]
        blocks = [block for _, block in [*unsigned, *found]]
        if not self._same:
            blocks = [replace(block, summary=bool(block.text), extra=None) for block in blocks]
        self._items.append(reasoning_out(blocks, value))
        return []

    def _unsigned(self, unsigned: list[tuple[str, Reasoning]]) -> None:
        """Adds thinking without a signature of this provider, which only hosts of open models accept."""
        with_text = [(at, block) for at, block in unsigned if block.text]
        if "reasoning_text" in self._target.quirks and with_text:
            blocks = [replace(block, summary=False, extra=None) for _, block in with_text]
            self._items.append(reasoning_out(blocks, None))
            return
        self._losses += [declare_loss(at, "reasoning_text") for at, _ in with_text]

    def _signature_loss(self, block: Text | ToolCall, path: str) -> None:
        """Declares the signature on a call or a text as a loss: the protocol has no field for it."""
        if block.signature:
            self._losses.append(declare_loss(f"{path}.seal", "signature"))


FUNCTION_RESULT = "function_call_output"


# ---- tools and format ------------------------------------------------------------------------------------------------


def tools_out(tools: tuple[Tool | Opaque, ...], names: ToolNameMap | None, same: bool = False) -> list[dict[str, Any]]:
    """Encodes the tools, grouped by namespace; `names` is None where an answer repeats them.

    Tools of an `additional_tools` item are left out of a request, which has them in that item, but not of an answer.
    """
    out: list[dict[str, Any]] = []
    for tool in tools:
        if isinstance(tool, Opaque):
            if tool.protocol == NAME and (names is None or ADDITIONAL_TOOLS not in tool.data):
                out.append({key: value for key, value in tool.data.items() if key != ADDITIONAL_TOOLS})
            continue
        extra = dict(tool.extra or {}) if same else {}
        if ADDITIONAL_TOOLS in extra and names is not None:
            continue
        extra.pop(ADDITIONAL_TOOLS, None)
        inner = tool_out(tool, names, extra, same)
        if tool.namespace is None or not same:
            out.append(inner)
        elif out and out[-1]["type"] == "namespace" and out[-1]["name"] == tool.namespace:
            out[-1]["tools"].append(inner)
        else:
            group = {key[10:]: value for key, value in extra.items() if key.startswith("namespace.")}
            out.append({"type": "namespace", "name": tool.namespace, **group, "tools": [inner]})
    return out


def tool_out(tool: Tool, names: ToolNameMap | None, extra: dict[str, Any], same: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"type": tool.kind, "name": names.wire(tool.name, tool.namespace) if names else tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    if tool.kind == "custom":
        if tool.grammar is not None:
            out["format"] = _grammar_out(tool.grammar)
    else:
        # "parameters" is required, and of type object; in other protocols its absence means no parameters
        if not same:
            out["parameters"] = tool.parameters or {"type": "object", "properties": {}}
        elif tool.parameters is not None:
            out["parameters"] = tool.parameters
        # "If you omit strict, the default depends on the API: Responses requests will normalize your schema into strict
        # mode … while Chat Completions requests remain non-strict by default. To opt out of strict mode in Responses
        # and keep non-strict, best-effort function calling, explicitly set strict: false."
        # https://platform.openai.com/docs/guides/function-calling#strict-mode
        if tool.strict is not None or not same:
            out["strict"] = bool(tool.strict)
    return {**out, **{key: value for key, value in extra.items() if not key.startswith("namespace.")}}


def _grammar_out(grammar: dict[str, Any]) -> dict[str, Any]:
    inner = grammar.get("grammar")
    return {"type": "grammar", **inner} if type(inner) is dict else grammar


def tool_choice_out(choice: ToolChoice, tools: tuple[Tool | Opaque, ...], names: ToolNameMap | None) -> Any:
    custom = {tool.name for tool in tools if isinstance(tool, Tool) and tool.kind == "custom"}
    extra = choice.extra or {}

    def entry(name: str) -> dict[str, Any]:
        return {"type": "custom" if name in custom else "function", "name": names.wire(name) if names else name}

    if "forced_hosted_tool" in extra:
        return extra["forced_hosted_tool"]
    if choice.mode == "named":
        return entry(choice.names[0])
    others = extra.get("allowed_tools", [])
    if choice.names or others:
        return {"type": "allowed_tools", "mode": choice.mode, "tools": [*map(entry, choice.names), *others]}
    return choice.mode


def _format_out(form: ResponseFormat, same: bool, payload: dict[str, Any], losses: list[Loss]) -> None:
    if form.kind == "json_schema" and form.schema is None:
        losses.append(declare_loss("format", "json_schema"))
        form = ResponseFormat("json_object")  # "schema" is required here
    payload["text"] = {"format": format_out(form, same)}
    if form.kind == "json_object" and not same and "json" not in str(payload["input"]).lower():
        # otherwise the API answers "Response input messages must contain the word 'json' in some form"
        losses.append(declare_loss("format", "json_object"))
        payload["input"].insert(0, {"type": "message", "role": "system", "content": JSON_HINT})


def format_out(form: ResponseFormat, same: bool) -> dict[str, Any]:
    extra = form.extra if same and form.extra else {}
    if form.kind != "json_schema":
        return {"type": form.kind, **extra}
    # "name: The name of the response format." is required.
    # https://platform.openai.com/docs/api-reference/responses/create
    out: dict[str, Any] = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema}
    for key in ("description", "strict"):
        if (value := getattr(form, key)) is not None:
            out[key] = value
    return {**out, **extra}
