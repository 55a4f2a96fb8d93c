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
    ToolCall,
    ToolResult,
    Turn,
    Video,
    reasoning_effort,
    signatures,
)
from ...ir.bounded_values import bounded_temperature, with_bounded_identifiers
from ...ir.hosted import hosted_choice_losses
from ...ir.losses import block_feature, declare_loss, request_extra_losses
from ...ir.media_type import file_name
from ...ir.model_fit import fitted
from ...ir.readable import readable
from ...ir.stop_sequences import said_stops
from ...ir.strict_schema import loosened
from ...ir.tool_choice import kept_tools, remaining_choice
from ...ir.tool_names import ToolNameMap
from ...ir.tool_schema import with_fitted_tools
from ...wire import json_fields
from ..openai.media import GLOBAL_DETAIL, detail_of, url_out
from ..openai.tables import CHAT, CHAT_TO_RESPONSES, JSON_HINT, SERVICE_TIER, SERVICE_TIERS, TOOL_NAME
from ..protocol import UpstreamRequest, UpstreamTarget
from ..schema_targets import OPENAI_FUNCTION, OPENAI_STRICT
from .chat_fields import put_chat_fields
from .client_tools import client_call_out
from .hosted_tools import TYPES, hosted_tools_out
from .items import call_id, call_out, completed_message, group_by_item, part_out, reasoning_out, split_item_extra
from .tables import ADDITIONAL_TOOLS, LIMITS, LOGPROBS, NAME, STORE_RESPONSE
from .tool_encoder import tool_choice_out, tools_out

CARRIED = frozenset(("detail", "mediaResolution", GLOBAL_DETAIL, "namespace.description"))
"""Extra fields of other protocols' blocks and tools that this one has too, or tells in a description."""


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    """Encodes a request for a backend; the result lists the losses and the renamed tools."""
    same = request.protocol == NAME
    sibling: dict[str, Any] = {}  # fields of a chat request that Responses has too
    losses: list[Loss] = []
    if target.traits.limits or target.limits:
        request = with_bounded_identifiers(request, target.limit, losses)
    if request.protocol == CHAT:
        sibling, rest = json_fields.renamed(request.extra, CHAT_TO_RESPONSES)
        request = replace(request, extra=rest)
    if not same:
        if (tier := SERVICE_TIERS.get(str((request.extra or {}).get(SERVICE_TIER)).lower())) is not None:
            sibling["service_tier"] = tier
            request = replace(request, extra={k: v for k, v in (request.extra or {}).items() if k != SERVICE_TIER})
        losses += request_extra_losses(request, CARRIED)
        request, misshapen = with_fitted_tools(request, OPENAI_FUNCTION)
        request, loose = loosened(request, OPENAI_STRICT)
        request, named = readable(request, "results")
        losses += (*misshapen, *loose, *named)
    request, misfits = fitted(request, target.traits)
    losses += misfits
    # the names of a Responses client are valid here, namespaces included
    names = ToolNameMap(
        replace(request, turns=(), tools=(), tool_choice=None) if same else request, TOOL_NAME, custom=True
    )
    payload: dict[str, Any] = {"model": target.model}
    turns = request.turns
    # without an input the API answers "One of "input" or … must be provided"
    if turns and _is_instructions(turns[0], same) and (same or len(turns) > 1):
        payload["instructions"] = "".join(block.text for block in turns[0].blocks if isinstance(block, Text))
    payload["input"] = _ItemBuilder(request, target, names, losses).build(skip_first="instructions" in payload)
    if not same and turns and not payload["input"]:
        losses.append(declare_loss("turns", "content"))  # all that was said is lost
    tools = tools_out(request.tools, names, same)
    if tools:
        payload["tools"] = tools
    if not same:
        hosted_tools_out(request, payload, losses)
        losses += hosted_choice_losses(request, frozenset(TYPES) - {"mcp"})
    # "'tool_choice' is only allowed when 'tools' are specified.", as the API answers. A client's own may be in
    # a prompt that the provider stores.
    kept = kept_tools(request, NAME, TYPES)
    choice, gone = (request.tool_choice, []) if same else remaining_choice(request, kept)
    losses += gone
    if choice is not None:
        payload["tool_choice"] = tool_choice_out(choice, request.tools, names)
    if request.parallel is not None and (same or "tools" in payload):
        payload["parallel_tool_calls"] = request.parallel
    _sampling_out(request, target, payload, losses)
    _reasoning_out(request, target, payload, losses)
    if request.format is not None:
        _format_out(request.format, same, payload, losses)
    if request.user is not None:
        payload["user"] = request.user
    if request.logprobs:
        payload["top_logprobs"] = request.logprobs
    if request.logprobs is not None and not same:
        payload["include"] = [*payload.get("include", []), LOGPROBS]
    if request.stream:
        payload["stream"] = True
    if same:
        _put_extra(request.extra, payload)
    else:
        # the default is to keep every response, which clients of other protocols do not expect
        payload["store"] = False
        put_chat_fields(sibling, payload, losses)
    # the API has no field for stop sequences, so that the proxy cuts the answer at them
    stops = said_stops(request.stop, losses)
    return UpstreamRequest(payload, tuple(losses), target, names.aliases, stops=stops)


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
    temperature = sampling.temperature
    if request.protocol != NAME:
        most = target.limits.get("temperature", LIMITS["temperature"])
        temperature = bounded_temperature(request, most, losses)
    for key, value in (("temperature", temperature), ("top_p", sampling.top_p)):
        if value is not None:
            payload[key] = value
    for key in ("frequency_penalty", "presence_penalty"):
        value = getattr(sampling, key)
        if value is None:
            continue
        if "penalties" in target.traits.takes or request.protocol == NAME:
            payload[key] = value
        elif value:
            losses.append(declare_loss(f"sampling.{key}", "penalties"))
    for key in ("top_k", "seed"):
        if getattr(sampling, key) is not None:
            losses.append(declare_loss(f"sampling.{key}", key))
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
    effort = reasoning_effort.effort_for(reasoning, target.traits.efforts, same=request.protocol == NAME)
    if effort is not None:
        fields["effort"] = effort
        if reasoning.effort != effort and effort != "none":
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
    if effort != "none" and "encrypted_reasoning" not in target.traits.refuses:
        # "include: reasoning.encrypted_content: … This enables reasoning items to be used in multi-turn conversations
        # when using the Responses API statelessly (like when the `store` parameter is set to `false`)". Models that do
        # not reason refuse it, so it is sent only with a request for reasoning.
        # https://platform.openai.com/docs/api-reference/responses/create
        payload["include"] = [*payload.get("include", []), "reasoning.encrypted_content"]


SUMMARIES: dict[str, str | None] = {"summarized": "auto", "omitted": None, "none": None, "": None}
"""Maps other protocols' values for how much thinking to show to `reasoning.summary`."""


# ---- input -----------------------------------------------------------------------------------------------------------


class _ItemBuilder:
    """Encodes the turns of one request as input items, in order, and adds to its losses."""

    def __init__(self, request: Request, target: UpstreamTarget, names: ToolNameMap, losses: list[Loss]) -> None:
        self._turns = request.turns
        self._same = request.protocol == NAME
        self._request_extra = request.extra
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
            content = self._content(rest)
            if content or self._same:  # else nothing of it is left that the target can be told
                message = {"type": "message", "role": turn.role, "content": content}
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
        if self._same and result.vendor is not None:
            return {"type": result.vendor, **(result.extra or {})}
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
            case Document(Media(text=str(text), data=None)):
                return {"type": "input_text", "text": text}
            case Video(media, extra) if self._same and media.url:
                return {"type": "input_video", "video_url": media.url, **self._extra_out(extra)}
            case Video(media, extra) if self._same:
                return {"type": "input_video", "video_url": url_out(media), **self._extra_out(extra)}
            case Document(media, extra) if media.data:
                name = media.name or file_name(media.mime)
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
        return self._extra_out(extra) if self._same else {"detail": detail_of(extra, self._request_extra) or "auto"}

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
                case ToolCall(vendor=str(vendor), extra=extra) if self._same:
                    item = client_call_out(vendor, block.arguments, block.id, extra or {})
                    self._items.append(item or call_out(block, self._names, {}))
                case ToolCall():
                    self._signature_loss(block, block_path)
                    self._items.append(call_out(block, self._names, self._extra_out(block.extra)))
                case Opaque(protocol, _, data) if protocol == NAME:
                    self._items.append(data)
                case Opaque():
                    pass  # declared with the extra fields
                case Image() | Document() | Audio() | Video() | ToolResult():
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
        if "reasoning_text" in self._target.traits.takes and with_text:
            blocks = [replace(block, summary=False, extra=None) for _, block in with_text]
            self._items.append(reasoning_out(blocks, None))
            return
        self._losses += [declare_loss(at, "reasoning_text") for at, _ in with_text]

    def _signature_loss(self, block: Text | ToolCall, path: str) -> None:
        """Declares the signature on a call or a text as a loss: the protocol has no field for it."""
        if block.signature:
            self._losses.append(declare_loss(f"{path}.seal", "signature"))


FUNCTION_RESULT = "function_call_output"


# ---- format ----------------------------------------------------------------------------------------------------------


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
