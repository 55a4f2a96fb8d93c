"""The neutral request as a Responses backend gets it, and what that could not say."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ... import effort, ledger, seals, wire
from ...ir import (
    Audio,
    Block,
    Document,
    Format,
    Image,
    Loss,
    Media,
    Opaque,
    Own,
    Reasoning,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ...names import Names
from ...strict import loosened
from ..contract import Sent, Target
from .items import as_said, call_id, call_out, part_out, reasoning_out, runs, split_own
from .words import CHAT_FIELDS, JSON_HINT, LIMITS, NAME, PLACED, STORE, TOOL_NAME


def encode_request(request: Request, target: Target) -> Sent:
    same = request.dialect == NAME
    kin: dict[str, Any] = {}
    if request.dialect == "openai-chat":
        kin, rest = wire.renamed(request.own, CHAT_FIELDS)
        request = replace(request, own=rest)
    losses: list[Loss] = []
    if not same:
        losses = ledger.request_leftovers(request)
        request, loose = loosened(request)
        losses += loose
    # names that came over this very wire fit it, namespaces included
    names = Names(replace(request, turns=(), tools=(), tool_choice=None) if same else request, TOOL_NAME, custom=True)
    payload: dict[str, Any] = {"model": target.model}
    turns = request.turns
    if turns and _is_instructions(turns[0], same):
        payload["instructions"] = "".join(block.text for block in turns[0].blocks if isinstance(block, Text))
    payload["input"] = _Items(request, target, names, losses).items(skip="instructions" in payload)
    tools = tools_out(request.tools, names, same)
    if tools:
        payload["tools"] = tools
    if request.tool_choice is not None:
        payload["tool_choice"] = tool_choice_out(request.tool_choice, request.tools, names)
    if request.parallel is not None:
        if "no_parallel_tool_calls" in target.quirks:
            losses.append(ledger.loss("parallel", "parallel_tool_calls"))
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
        _own_out(request.own, payload)
    else:
        # the default is to keep every response, which no other dialect's client asked for
        payload["store"] = False
        for key, value in kin.items():
            if not ledger.is_harmless(key, value):
                (payload.setdefault("text", {}) if key.startswith("text.") else payload)[key.removeprefix("text.")] = (
                    value
                )
    return Sent(payload, tuple(losses), target, names.aliases)


def _is_instructions(turn: Turn, same: bool) -> bool:
    """Whether the first turn goes into `instructions`: as it came, or a plain system text of another dialect."""
    if same:
        return turn.own is not None and "instructions" in turn.own
    return turn.role == "system" and len(turn.blocks) == 1 and isinstance(turn.blocks[0], Text)


def _own_out(own: Own, payload: dict[str, Any]) -> None:
    for key, value in (own or {}).items():
        if key.startswith("text."):
            payload.setdefault("text", {})[key[5:]] = value
        elif key == PLACED:
            for index, item in value:
                payload["input"].insert(index, item)
        elif key == STORE:
            payload["store"] = value
        else:
            payload[key] = value
    if not payload["input"]:
        del payload["input"]  # it is all in the provider's store


def _sampling_out(request: Request, target: Target, payload: dict[str, Any], losses: list[Loss]) -> None:
    sampling = request.sampling
    for key in ("temperature", "top_p"):
        value = getattr(sampling, key)
        if value is not None:
            payload[key] = value
    for key in ("frequency_penalty", "presence_penalty"):
        value = getattr(sampling, key)
        if value is None:
            continue
        if "penalties" in target.quirks or request.dialect == NAME:
            payload[key] = value
        elif value:
            losses.append(ledger.loss(f"sampling.{key}", "penalties"))
    for key in ("top_k", "seed"):
        if getattr(sampling, key) is not None:
            losses.append(ledger.loss(f"sampling.{key}", key))
    if request.stop:
        losses.append(Loss("stop", "stop", "dropped"))
    if request.max_tokens is not None:
        least = int(target.limits.get("min_output_tokens", LIMITS["min_output_tokens"]))
        payload["max_output_tokens"] = max(least, request.max_tokens) if request.dialect != NAME else request.max_tokens
        if payload["max_output_tokens"] != request.max_tokens:
            losses.append(ledger.loss("max_tokens", "max_tokens"))


def _reasoning_out(request: Request, target: Target, payload: dict[str, Any], losses: list[Loss]) -> None:
    thinking = request.reasoning
    if thinking is None:
        return
    fields: dict[str, Any] = {}
    word = effort.effort(thinking)
    if word is not None:
        fields["effort"] = word
        if thinking.effort is None and word != "none":
            losses.append(ledger.loss("reasoning", "reasoning"))
    if request.dialect == NAME:
        if thinking.summary is not None:
            fields["summary"] = thinking.summary
        payload["reasoning"] = {**fields, **(thinking.own or {})}
        return
    summary = SUMMARIES.get(thinking.summary or "", thinking.summary)
    if summary is None and thinking.enabled and thinking.effort is None:
        summary = "auto"  # who switches thinking on in those dialects is shown it
    if summary and word != "none":
        fields["summary"] = summary
    if fields:
        payload["reasoning"] = fields
    if word != "none" and "no_encrypted_reasoning" not in target.quirks:
        # "include: reasoning.encrypted_content: … This enables reasoning items to be used in multi-turn conversations
        # when using the Responses API statelessly (like when the `store` parameter is set to `false`)". Models that do
        # not reason refuse it, so only who asks for reasoning gets it.
        # https://platform.openai.com/docs/api-reference/responses/create
        payload["include"] = ["reasoning.encrypted_content"]


SUMMARIES: dict[str, str | None] = {"summarized": "auto", "omitted": None, "none": None, "": None}
"""Other dialects' words for how much thinking to show, as `reasoning.summary` has them."""


# ---- input -----------------------------------------------------------------------------------------------------------


class _Items:
    """The turns of one request as input items, in order, with what they could not say."""

    def __init__(self, request: Request, target: Target, names: Names, losses: list[Loss]) -> None:
        self._turns = request.turns
        self._same = request.dialect == NAME
        self._target = target
        self._names = names
        self._losses = losses
        self._out: list[dict[str, Any]] = []
        blocks = [block for turn in request.turns for block in turn.blocks]
        calls = [block for block in blocks if isinstance(block, ToolCall)]
        self._custom = {call.id for call in calls if call.kind == "custom"}
        self._called = {call.id for call in calls}
        self._answered = {block.id for block in blocks if isinstance(block, ToolResult)}

    def items(self, skip: bool) -> list[dict[str, Any]]:
        for t, turn in enumerate(self._turns):
            if skip and t == 0:
                continue
            if turn.role == "assistant":
                self._assistant(turn, f"turns[{t}]")
            else:
                self._user(turn, f"turns[{t}]")
        return self._out

    def _own(self, own: Own) -> dict[str, Any]:
        return own if own and self._same else {}

    def _user(self, turn: Turn, path: str) -> None:
        rest: list[tuple[str, Block]] = []
        items = False
        for b, block in enumerate(turn.blocks):
            match block:
                case ToolResult():
                    items = True
                    if not self._is_orphan(block.id, self._called, f"{path}.blocks[{b}]"):
                        self._out.append(self._result(block, f"{path}.blocks[{b}]"))
                case Opaque(dialect, kind, data) if not kind.startswith("content."):
                    items = True
                    if dialect == NAME:
                        self._out.append(data)
                case _:
                    rest.append((f"{path}.blocks[{b}]", block))
        if rest or not items:
            message = {"type": "message", "role": turn.role, "content": self._content(rest)}
            self._out.append({**message, **self._own(turn.own)})

    def _is_orphan(self, id_: str, others: set[str], path: str) -> bool:
        """A result without its call, or a call without its result; of an equal client the store may hold the other.

        "No tool output found for function call …", "No tool call found for function call output …": both are a 400.
        https://github.com/continuedev/continue/pull/11785
        """
        if self._same or id_ in others:
            return False
        self._losses.append(ledger.loss(path, "orphan"))
        return True

    def _result(self, result: ToolResult, path: str) -> dict[str, Any]:
        kind = "custom_tool_call_output" if result.kind == "custom" or result.id in self._custom else FUNCTION_RESULT
        inner = [(f"{path}.blocks[{b}]", block) for b, block in enumerate(result.blocks)]
        output = self._content(inner, "tool_result_media")
        if result.error:
            # the wire has no flag for it
            self._losses.append(ledger.loss(path, "tool_error"))
            if type(output) is str:
                output = f"Error: {output}"
            else:
                output = [{"type": "input_text", "text": "Error:"}, *output]
        return {"type": kind, "call_id": call_id(result.id), "output": output, **self._own(result.own)}

    def _content(self, blocks: list[tuple[str, Block]], media: str | None = None) -> str | list[dict[str, Any]]:
        """The parts of a message or a result; `media` is the word for what of it cannot be said, its kind's without."""
        if len(blocks) > 1 and not self._same:  # an empty part says nothing
            blocks = [place for place in blocks if place[1] != Text("")]
        match blocks:
            case [(_, Text(text, own=own))] if not self._own(own):
                return text
            case []:
                return ""
        parts = []
        for path, block in blocks:
            part = self._part(block)
            if part is not None:
                parts.append(part)
            elif not isinstance(block, Opaque):  # the leftovers name that one
                self._losses.append(Loss(path, media or _feature(block), "dropped"))
            if isinstance(block, Document) and block.media.text is not None and block.media.name is not None:
                self._losses.append(ledger.loss(f"{path}.media.name", "name"))  # it is told as a text, which has none
        return parts

    def _part(self, block: Block) -> dict[str, Any] | None:
        match block:
            case Text(text, own=own):
                return {"type": "input_text", "text": text, **self._own(own)}
            case Image(media, own) if media.data or media.url:
                return {"type": "input_image", "image_url": _url_out(media), **self._detail(own)}
            case Image(media, own) if self._has_file(media):
                return {"type": "input_image", "file_id": media.file_id, **self._detail(own)}
            case Document(Media(text=str(text))):
                return {"type": "input_text", "text": text}
            case Document(media, own) if media.data:
                name = media.name or "document.pdf"
                return {"type": "input_file", "filename": name, "file_data": _url_out(media), **self._own(own)}
            case Document(media, own) if media.url:
                return {"type": "input_file", "file_url": media.url, **self._own(own)}
            case Document(media, own) if self._has_file(media):
                return {"type": "input_file", "file_id": media.file_id, **self._own(own)}
            case Audio(Media(mime=mime, data=str(data)), own) if self._same:
                kind = (mime or "audio/wav").partition("/")[2]
                return {"type": "input_audio", "input_audio": {"data": data, "format": kind}, **self._own(own)}
            case Opaque(dialect, _, data) if dialect == NAME:
                return data
        return None

    def _detail(self, own: Own) -> dict[str, Any]:
        """An image's `detail`, which is required, though only in writing."""
        return self._own(own) if self._same else {"detail": "auto"}

    def _has_file(self, media: Media) -> bool:
        """A file's id means something to OpenAI alone, whose ids start with `file-`."""
        return bool(media.file_id) and (self._same or str(media.file_id).startswith("file-"))

    def _assistant(self, turn: Turn, path: str) -> None:
        unsigned: list[tuple[str, Reasoning]] = []  # thinking whose seal may follow
        for run in runs(turn.blocks):
            b, block = run[0]
            here = f"{path}.blocks[{b}]"
            if isinstance(block, Reasoning):
                unsigned = self._thoughts(unsigned, run, path)
                continue
            self._unsealed(unsigned)
            unsigned = []
            match block:
                case Text() | Refusal():
                    self._said(run, path)
                case ToolCall() if self._is_orphan(block.id, self._answered, here):
                    pass
                case ToolCall():
                    self._seal_lost(block, here)
                    self._out.append(call_out(block, self._names, self._own(block.own)))
                case Opaque(dialect, _, data) if dialect == NAME:
                    self._out.append(data)
                case Opaque():
                    pass  # the leftovers name it
                case Image() | Document() | Audio() | ToolResult():
                    self._losses.append(Loss(here, _feature(block), "dropped"))
        self._unsealed(unsigned)

    def _said(self, run: list[tuple[int, Block]], path: str) -> None:
        parts = []
        item: dict[str, Any] = {}
        for b, block in run:
            if isinstance(block, Text):
                self._seal_lost(block, f"{path}.blocks[{b}]")
                if block.seal and not block.text:
                    continue  # it was there for its seal alone
            if isinstance(block, Text | Refusal):
                part_own, item_own = split_own(self._own(block.own))
                parts.append(part_out(block, part_own))
                item |= item_own
        if not parts:
            return
        message = {"type": "message", "role": "assistant"}
        # without an id the SDK's type takes no list of parts from an assistant
        plain = "id" not in item and all(part.get("annotations") == [] for part in parts)
        if plain and (len(parts) == 1 or not self._same):
            self._out += [{**message, "content": part["text"], **item} for part in parts]
        else:
            self._out.append({**(message if self._same else as_said(message, parts)), "content": parts, **item})

    def _thoughts(
        self, unsigned: list[tuple[str, Reasoning]], run: list[tuple[int, Block]], path: str
    ) -> list[tuple[str, Reasoning]]:
        """Write a run of thinking as one item, together with what came unsigned before it; or put it off."""
        found = [(f"{path}.blocks[{b}]", block) for b, block in run if isinstance(block, Reasoning)]
        sealed = next(((where, block.seal) for where, block in reversed(found) if block.seal), None)
        if sealed is None:
            if self._same and not unsigned:
                self._out.append(reasoning_out([block for _, block in found], None))
                return []
            return [*unsigned, *found]
        where, signature = sealed
        seal = seals.for_backend(signature, NAME, self._target.provider)
        if seal is None:
            self._losses.append(ledger.loss(f"{where}.seal", "signature"))
            return [*unsigned, *found]
        blocks = [block for _, block in [*unsigned, *found]]
        if not self._same:
            blocks = [replace(block, summary=bool(block.text), own=None) for block in blocks]
        self._out.append(reasoning_out(blocks, seal))
        return []

    def _unsealed(self, unsigned: list[tuple[str, Reasoning]]) -> None:
        """Thinking without a seal of this provider: OpenAI takes none, hosts of open models do."""
        said = [(where, block) for where, block in unsigned if block.text]
        if "reasoning_text" in self._target.quirks and said:
            blocks = [replace(block, summary=False, own=None) for _, block in said]
            self._out.append(reasoning_out(blocks, None))
            return
        self._losses += [ledger.loss(where, "reasoning_text") for where, _ in said]

    def _seal_lost(self, block: Text | ToolCall, path: str) -> None:
        """No slot of this wire holds a seal on a call or a text."""
        if block.seal:
            self._losses.append(ledger.loss(f"{path}.seal", "signature"))


FUNCTION_RESULT = "function_call_output"


def _feature(block: Block) -> str:
    """The ledger's word for a block that this place cannot hold."""
    match block:
        case Image() | Document() | Audio():
            return type(block).__name__.lower()
        case Reasoning():
            return "reasoning_text"
        case _:
            return "unknown_field"


def _url_out(media: Media) -> str:
    if media.url:
        return media.url
    return f"data:{media.mime or 'application/octet-stream'};base64,{media.data}"


# ---- tools and form --------------------------------------------------------------------------------------------------


def tools_out(tools: tuple[Tool | Opaque, ...], names: Names | None, same: bool = False) -> list[dict[str, Any]]:
    """The tools on offer, those of one namespace together again; `names` is None where they are only repeated.

    Those that came among the input are put back there; an answer repeats them beside the others.
    """
    out: list[dict[str, Any]] = []
    for tool in tools:
        if isinstance(tool, Opaque):
            if tool.dialect == NAME and (names is None or PLACED not in tool.data):
                out.append({key: value for key, value in tool.data.items() if key != PLACED})
            continue
        own = dict(tool.own or {}) if same else {}
        if PLACED in own and names is not None:
            continue
        own.pop(PLACED, None)
        inner = tool_out(tool, names, own, same)
        if tool.namespace is None or not same:
            out.append(inner)
        elif out and out[-1]["type"] == "namespace" and out[-1]["name"] == tool.namespace:
            out[-1]["tools"].append(inner)
        else:
            group = {key[10:]: value for key, value in own.items() if key.startswith("namespace.")}
            out.append({"type": "namespace", "name": tool.namespace, **group, "tools": [inner]})
    return out


def tool_out(tool: Tool, names: Names | None, own: dict[str, Any], same: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"type": tool.kind, "name": names.wire(tool.name, tool.namespace) if names else tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    if tool.kind == "custom":
        if tool.grammar is not None:
            out["format"] = _grammar_out(tool.grammar)
    else:
        # "parameters" is required, and of type object, where other dialects take its absence for no parameters
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
    return {**out, **{key: value for key, value in own.items() if not key.startswith("namespace.")}}


def _grammar_out(grammar: dict[str, Any]) -> dict[str, Any]:
    inner = grammar.get("grammar")
    return {"type": "grammar", **inner} if type(inner) is dict else grammar


def tool_choice_out(choice: ToolChoice, tools: tuple[Tool | Opaque, ...], names: Names | None) -> Any:
    custom = {tool.name for tool in tools if isinstance(tool, Tool) and tool.kind == "custom"}
    own = choice.own or {}

    def one(name: str) -> dict[str, Any]:
        return {"type": "custom" if name in custom else "function", "name": names.wire(name) if names else name}

    if "forced_hosted_tool" in own:
        return own["forced_hosted_tool"]
    if choice.mode == "named":
        return one(choice.names[0])
    others = own.get("allowed_tools", [])
    if choice.names or others:
        return {"type": "allowed_tools", "mode": choice.mode, "tools": [*map(one, choice.names), *others]}
    return choice.mode


def _format_out(form: Format, same: bool, payload: dict[str, Any], losses: list[Loss]) -> None:
    if form.kind == "json_schema" and form.schema is None:
        losses.append(ledger.loss("format", "json_schema"))
        form = Format("json_object")  # "schema" is required here
    payload["text"] = {"format": format_out(form, same)}
    if form.kind == "json_object" and not same and "json" not in str(payload["input"]).lower():
        # "Response input messages must contain the word 'json' in some form", says the API otherwise
        losses.append(ledger.loss("format", "json_object"))
        payload["input"].insert(0, {"type": "message", "role": "system", "content": JSON_HINT})


def format_out(form: Format, same: bool) -> dict[str, Any]:
    own = form.own if same and form.own else {}
    if form.kind != "json_schema":
        return {"type": form.kind, **own}
    # "name: The name of the response format." is required.
    # https://platform.openai.com/docs/api-reference/responses/create
    out: dict[str, Any] = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema}
    for key in ("description", "strict"):
        if (value := getattr(form, key)) is not None:
            out[key] = value
    return {**out, **own}
