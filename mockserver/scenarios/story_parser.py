"""Parses a story file into a Story."""

from __future__ import annotations

from typing import Any, Literal, cast

from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse as parse_path
from msgspec.structs import replace

from ..protocols.names import NAMES
from .model import (
    STOPS,
    AllowedTools,
    Ask,
    Audio,
    Block,
    Document,
    Grammar,
    Image,
    Item,
    NamedTool,
    Refusal,
    ResponseFormat,
    SayCall,
    SayRefusal,
    SayText,
    SayThink,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    calls_of,
)
from .route_parser import check_consistency, read_decide, read_proxy
from .say_parser import ERROR_KINDS, read_item, read_items
from .story import CAPABILITIES, EVERY_BACKEND, FRAME, WHOLE, Exchange, Hear, HearError, Raw, Story, Wire
from .yaml_reader import (
    Mistake,
    YamlDocument,
    YamlMapping,
    anything,
    boolean,
    describe,
    integer,
    list_of,
    mapping,
    mapping_of,
    number,
    one_of,
    string,
    string_list,
)

TOOL_CHOICES = ("auto", "none", "required")
"""Tool choices that are written as one word."""


def read_story(name: str, file: str, source: str) -> tuple[Story | None, list[Mistake]]:
    """Parses the text of a story file; returns the story (None if it has mistakes) and the mistakes."""
    doc = YamlDocument(file, source)
    if doc.value is None:
        return None, doc.mistakes
    top = YamlMapping(doc, doc.value, "$")
    why, origin = top.require("why", string, ""), top.require("source", string, "")
    needs = top.require("needs", list_of(one_of(*CAPABILITIES)), ())
    first = _exchange_keys(top)
    more = top.take("then", list_of(_exchange), ())
    story = Story(
        name=name,
        why=why,
        source=origin,
        needs=needs,
        exchanges=_link_results(doc, (first, *more)),
        only=top.take("only", one_of("stream", "unary"), None),
        clients=top.take("clients", list_of(one_of(*NAMES)), ()),
        servers=top.take("servers", list_of(one_of(*NAMES)), ()),
        across=top.take("across", boolean, False),
        refused=top.take("refused", list_of(string), ()),
        models=top.take("models", mapping_of(string), {}),
        wire=top.take("wire", _wire, Wire()),
        proxy=top.take("proxy", read_proxy, None),
        file=file,
        lines=doc.lines,
    )
    top.close()
    if not _has_opening_text(story):
        doc.complain("$.ask", "no user text: the first user text identifies the requests of a story")
    if not doc.mistakes:
        check_consistency(doc, story)
    return (None if doc.mistakes else story), doc.mistakes


def _has_opening_text(story: Story) -> bool:
    ask = story.exchanges[0].ask
    blocks = [block for turn in ask.turns if turn.role == "user" for block in turn.blocks]
    return any(isinstance(block, Text) and block.text.strip() for block in (*blocks, *ask.user))


def _exchange(doc: YamlDocument, value: Any, path: str) -> Exchange:
    keys = YamlMapping(doc, value, path)
    found = _exchange_keys(keys)
    keys.close()
    return found


def _exchange_keys(keys: YamlMapping) -> Exchange:
    ask = keys.require("ask", _ask, Ask())
    raw: dict[str, Raw] = keys.take("raw", _by_protocol(_raw), {})
    if "say" not in keys.remaining and set(raw) != set(NAMES):
        keys.doc.complain(keys.path, "`say` is missing, and `raw` does not cover every protocol")
    return Exchange(
        ask=ask,
        say=keys.take("say", _say, {}),
        expect=keys.take("expect", mapping_of(_expect), {}),
        hear=keys.take("hear", _hear, Hear()),
        raw=raw,
        by=keys.take("by", string, None),
        decide=keys.take("decide", read_decide, None),
    )


def _link_results(doc: YamlDocument, exchanges: tuple[Exchange, ...]) -> tuple[Exchange, ...]:
    """Adds to each tool result the index and the name of its call in the previous reply."""
    linked = [exchanges[0]]
    if exchanges[0].ask.results:
        doc.complain("$.ask.results", "the first exchange has no previous reply; write a history in `turns`")
    for at, exchange in enumerate(exchanges[1:]):
        results = []
        for result in exchange.ask.results:
            matching = [
                (index, call.name)
                for items in exchanges[at].say.values()
                for index, call in enumerate(calls_of(items))
                if call.id == result.id
            ]
            if not matching:
                doc.complain(
                    f"$.then[{at}].ask.results.{result.id}", "unknown call id: the previous reply has no such call"
                )
                continue
            results.append(replace(result, at=matching[0][0], name=matching[0][1]))
        called = {call.id for items in exchanges[at].say.values() for call in calls_of(items)}
        missing = called - {result.id for result in exchange.ask.results}
        if missing and exchange.ask.results:
            doc.complain(f"$.then[{at}].ask.results", f"no result for {', '.join(sorted(missing))}")
        linked.append(replace(exchange, ask=replace(exchange.ask, results=tuple(results))))
    return tuple(linked)


def _by_protocol(read: Any) -> Any:
    def table(doc: YamlDocument, value: Any, path: str) -> dict[str, Any]:
        out = {}
        for key, item in mapping(doc, value, path).items():
            one_of(*NAMES)(doc, key, f"{path}.{key}")
            out[key] = read(doc, item, f"{path}.{key}")
        return out

    return table


# ---- ask -------------------------------------------------------------------------------------------------------------


def _ask(doc: YamlDocument, value: Any, path: str) -> Ask:
    keys = YamlMapping(doc, value, path)
    ask = Ask(
        system=keys.take("system", string_list, ()),
        turns=keys.take("turns", list_of(_turn), ()),
        user=keys.take("user", _parts, ()),
        results=keys.take("results", _results, ()),
        tools=keys.take("tools", list_of(_tool), ()),
        tool_choice=keys.take("tool_choice", _tool_choice, None),
        parallel=keys.take("parallel", boolean, None),
        temperature=keys.take("temperature", number, None),
        top_p=keys.take("top_p", number, None),
        top_k=keys.take("top_k", integer, None),
        presence_penalty=keys.take("presence_penalty", number, None),
        frequency_penalty=keys.take("frequency_penalty", number, None),
        seed=keys.take("seed", integer, None),
        max_tokens=keys.take("max_tokens", integer, None),
        stop=keys.take("stop", string_list, ()),
        reasoning=keys.take("reasoning", _reasoning, None),
        format=keys.take("format", _format, None),
        model=keys.take("model", string, None),
        also=keys.take("also", _by_protocol(mapping), {}),
        headers=keys.take("headers", mapping_of(string), {}),
    )
    keys.close()
    if not (ask.user or ask.results or ask.turns):
        doc.complain(path, "the request is empty; add `user`, `turns` or `results`")
    names = [tool.name for tool in ask.tools]
    match ask.tool_choice:
        case NamedTool(name):
            wanted: tuple[str, ...] = (name,)
        case AllowedTools(wanted):
            pass
        case _:
            wanted = ()
    for name in wanted:
        if name not in names:
            doc.complain(f"{path}.tool_choice", f"unknown tool {name!r}")
    return ask


def _parts(doc: YamlDocument, value: Any, path: str) -> tuple[Block, ...]:
    return (Text(value),) if isinstance(value, str) else list_of(_part)(doc, value, path)


def _part(doc: YamlDocument, value: Any, path: str) -> Block:
    kind, inner, where = _single_key(doc, value, path, ("text", "image", "document", "audio"))
    if kind == "text":
        return Text(string(doc, inner, where))
    keys = YamlMapping(doc, inner, where)
    mime, data = keys.take("mime", string, None), keys.take("base64", string, None)
    block: Block
    match kind:
        case "image":
            block = Image(mime, data, keys.take("url", string, None))
        case "document":
            block = Document(
                mime,
                data,
                keys.take("url", string, None),
                keys.take("text", string, None),
                keys.take("name", string, None),
            )
        case _:
            block = Audio(mime, data)
    keys.close()
    return block


def _single_key(doc: YamlDocument, value: Any, path: str, words: tuple[str, ...]) -> tuple[str, Any, str]:
    """Reads a mapping of one key, which is one of the words; returns (word, value, path)."""
    if isinstance(value, str) and "text" in words:
        return "text", value, path
    if not isinstance(value, dict) or len(value) != 1:
        doc.complain(path, f"expected a mapping of one key ({', '.join(words)}), found {describe(value)}")
        return words[0], "", path
    ((word, inner),) = value.items()
    if word not in words:
        one_of(*words)(doc, word, f"{path}.{word}")
        return words[0], "", path
    return word, inner, f"{path}.{word}"


def _turn(doc: YamlDocument, value: Any, path: str) -> Turn:
    role, inner, where = _single_key(doc, value, path, ("user", "assistant", "system", "results"))
    match role:
        case "results":
            return Turn("user", _results(doc, inner, where))
        case "assistant":
            blocks = (Text(inner),) if isinstance(inner, str) else list_of(_history_block)(doc, inner, where)
            return Turn("assistant", blocks)
        case _:
            return Turn(cast("Literal['user', 'system']", role), _parts(doc, inner, where))


def _history_block(doc: YamlDocument, value: Any, path: str) -> Block:
    """Reads a block of an assistant turn in a literal history."""
    match read_item(doc, value, path):
        case SayText(deltas):
            return Text("".join(deltas))
        case SayThink(deltas):
            return Thinking("".join(deltas))
        case SayRefusal(deltas):
            return Refusal("".join(deltas))
        case SayCall(id, name, fragments, _, kind, namespace):
            empty = "" if kind == "custom" else "{}"
            return ToolCall(id, name, "".join(fragments) or empty, kind=kind, namespace=namespace)
        case _:
            doc.complain(path, "an assistant turn of a history may only contain text, think, refusal and call")
            return Text("")


def _results(doc: YamlDocument, value: Any, path: str) -> tuple[ToolResult, ...]:
    out = []
    for id, given in mapping(doc, value, path).items():
        where = f"{path}.{id}"
        if isinstance(given, dict):
            keys = YamlMapping(doc, given, where)
            out.append(ToolResult(id, keys.require("error", _parts, ()), error=True))
            keys.close()
        else:
            out.append(ToolResult(id, _parts(doc, given, where)))
    return tuple(out)


def _tool(doc: YamlDocument, value: Any, path: str) -> Tool:
    """Reads a function, or with `custom: true` or `grammar` a custom tool, which takes free text."""
    keys = YamlMapping(doc, value, path)
    grammar = keys.take("grammar", _grammar, None)
    custom = keys.take("custom", boolean, grammar is not None)
    tool = Tool(
        keys.require("name", string, ""),
        keys.take("description", string, None),
        None if custom else keys.take("parameters", mapping, None),
        None if custom else keys.take("strict", boolean, None),
        "custom" if custom else "function",
        keys.take("namespace", string, None),
        grammar,
        keys.take("among", boolean, False),
    )
    keys.close()
    return tool


def _grammar(doc: YamlDocument, value: Any, path: str) -> Grammar:
    keys = YamlMapping(doc, value, path)
    grammar = Grammar(keys.require("syntax", one_of("lark", "regex"), "lark"), keys.require("definition", string, ""))
    keys.close()
    return grammar


def _tool_choice(doc: YamlDocument, value: Any, path: str) -> ToolChoice:
    if isinstance(value, dict):
        keys = YamlMapping(doc, value, path)
        chosen: ToolChoice
        if "allowed" in keys.remaining:
            chosen = AllowedTools(
                keys.take("allowed", string_list, ()), keys.take("mode", one_of("auto", "required"), "auto")
            )
        else:
            chosen = NamedTool(keys.require("name", string, ""))
        keys.close()
        return chosen
    return one_of(*TOOL_CHOICES)(doc, value, path)


def _reasoning(doc: YamlDocument, value: Any, path: str) -> str | int:
    return integer(doc, value, path) if isinstance(value, int) else string(doc, value, path)


def _format(doc: YamlDocument, value: Any, path: str) -> ResponseFormat:
    if isinstance(value, str):
        one_of("json")(doc, value, path)
        return ResponseFormat()
    keys = YamlMapping(doc, value, path)
    found = ResponseFormat(
        keys.require("schema", mapping, {}), keys.take("name", string, "answer"), keys.take("strict", boolean, None)
    )
    keys.close()
    return found


# ---- say -------------------------------------------------------------------------------------------------------------


def _say(doc: YamlDocument, value: Any, path: str) -> dict[str, tuple[Item, ...]]:
    if isinstance(value, dict):
        return mapping_of(read_items)(doc, value, path)
    return {EVERY_BACKEND: read_items(doc, value, path)}


# ---- expect, hear, raw, wire -----------------------------------------------------------------------------------------


def _expect(doc: YamlDocument, value: Any, path: str) -> dict[str, Any]:
    found = mapping(doc, value, path)
    for expression in found:
        try:
            parse_path(expression)
        except JSONPathError as problem:
            doc.complain(f"{path}.{expression}", f"invalid JSONPath: {problem}")
    return found


def _hear(doc: YamlDocument, value: Any, path: str) -> Hear:
    keys = YamlMapping(doc, value, path)
    hear = Hear(
        error=keys.take("error", _hear_error, None),
        headers=keys.take("headers", mapping_of(string), {}),
        after=keys.take("after", string, None),
        stop=keys.take("stop", one_of(*STOPS), None),
        text=keys.take("text", string, None),
        calls=keys.take("calls", list_of(mapping), None),
    )
    keys.close()
    return hear


def _hear_error(doc: YamlDocument, value: Any, path: str) -> HearError:
    keys = YamlMapping(doc, value, path)
    error = HearError(
        keys.take("status", integer, None),
        keys.take("kind", one_of(*ERROR_KINDS), None),
        keys.take("says", _error_texts, {}),
    )
    keys.close()
    return error


def _error_texts(doc: YamlDocument, value: Any, path: str) -> dict[str, str]:
    """Reads texts that an error must contain: one for every client, or one for each protocol."""
    return dict.fromkeys(NAMES, value) if isinstance(value, str) else dict(_by_protocol(string)(doc, value, path))


def _raw(doc: YamlDocument, value: Any, path: str) -> Raw:
    keys = YamlMapping(doc, value, path)
    raw = Raw(
        keys.take("status", integer, 200),
        keys.take("headers", mapping_of(string), {}),
        keys.take("body", anything, None),
        keys.take("frames", list_of(anything), None),
    )
    keys.close()
    return raw


def _wire(doc: YamlDocument, value: Any, path: str) -> Wire:
    keys = YamlMapping(doc, value, path)
    wire = Wire(
        keys.take("write", _write_size, FRAME),
        keys.take("newline", one_of("lf", "crlf"), "lf"),
        keys.take("comments", boolean, False),
    )
    keys.close()
    return wire


def _write_size(doc: YamlDocument, value: Any, path: str) -> int | str:
    if value in (WHOLE, FRAME):
        return str(value)
    size = integer(doc, value, path)
    if size < 1:
        doc.complain(path, f"expected at least 1 byte per write, `{WHOLE}` or `{FRAME}`")
    return size
