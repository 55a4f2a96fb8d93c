"""One story file into a Story; it knows the schema, and of the dialects only their names."""

from __future__ import annotations

from typing import Any, Literal, cast

from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse as parse_path
from msgspec.structs import replace

from .dialects.names import NAMES
from .lines import (
    Doc,
    Map,
    Mistake,
    anything,
    each,
    flag,
    keyed,
    mapping,
    number,
    one_of,
    shown,
    text,
    texts,
    whole,
)
from .routefile import hold_together, read_decide, read_proxy
from .sayfile import KINDS, read_item, read_items
from .scenario import CAPABILITIES, EVERYONE, Exchange, Hear, HearError, Raw, Story, Wire
from .speech import (
    STOPS,
    Allowed,
    Ask,
    Audio,
    Block,
    Call,
    Choice,
    Document,
    Format,
    Grammar,
    Image,
    Item,
    Named,
    Refuse,
    Result,
    SayCall,
    SayRefusal,
    SayText,
    SayThink,
    Text,
    Think,
    Tool,
    Turn,
    calls_of,
)

CHOICES = ("auto", "none", "required")


def read_story(name: str, file: str, source: str) -> tuple[Story | None, list[Mistake]]:
    """The story of a file, or None, and its mistakes."""
    doc = Doc(file, source)
    if doc.value is None:
        return None, doc.mistakes
    top = Map(doc, doc.value, "$")
    why, origin = top.need("why", text, ""), top.need("source", text, "")
    needs = top.need("needs", each(one_of(*CAPABILITIES)), ())
    first = _exchange_keys(top)
    more = top.take("then", each(_exchange), ())
    story = Story(
        name=name,
        why=why,
        source=origin,
        needs=needs,
        exchanges=_link(doc, (first, *more)),
        only=top.take("only", one_of("stream", "unary"), None),
        clients=top.take("clients", each(one_of(*NAMES)), ()),
        servers=top.take("servers", each(one_of(*NAMES)), ()),
        across=top.take("across", flag, False),
        refused=top.take("refused", each(text), ()),
        models=top.take("models", keyed(text), {}),
        wire=top.take("wire", _wire, Wire()),
        proxy=top.take("proxy", read_proxy, None),
        file=file,
        lines=doc.lines,
    )
    top.close()
    if not _opens(story):
        doc.complain("$.ask", "no user text: nothing would tell which requests belong to this story")
    if not doc.mistakes:
        hold_together(doc, story)
    return (None if doc.mistakes else story), doc.mistakes


def _opens(story: Story) -> bool:
    ask = story.exchanges[0].ask
    blocks = [block for turn in ask.turns if turn.role == "user" for block in turn.blocks]
    return any(isinstance(block, Text) and block.text.strip() for block in (*blocks, *ask.user))


def _exchange(doc: Doc, value: Any, path: str) -> Exchange:
    keys = Map(doc, value, path)
    found = _exchange_keys(keys)
    keys.close()
    return found


def _exchange_keys(keys: Map) -> Exchange:
    ask = keys.need("ask", _ask, Ask())
    raw: dict[str, Raw] = keys.take("raw", _by_dialect(_raw), {})
    if "say" not in keys.left and set(raw) != set(NAMES):
        keys.doc.complain(keys.path, "`say` is missing, and `raw` does not speak for every dialect")
    return Exchange(
        ask=ask,
        say=keys.take("say", _say, {}),
        expect=keys.take("expect", _by_dialect(_expect), {}),
        hear=keys.take("hear", _hear, Hear()),
        raw=raw,
        by=keys.take("by", text, None),
        decide=keys.take("decide", read_decide, None),
    )


def _link(doc: Doc, exchanges: tuple[Exchange, ...]) -> tuple[Exchange, ...]:
    """Each result knows the place and the name of its call in the answer before."""
    linked = [exchanges[0]]
    if exchanges[0].ask.results:
        doc.complain("$.ask.results", "the first exchange has no answer before it; write a history in `turns`")
    for at, exchange in enumerate(exchanges[1:]):
        results = []
        for result in exchange.ask.results:
            places = [
                (place, call.name)
                for items in exchanges[at].say.values()
                for place, call in enumerate(calls_of(items))
                if call.id == result.id
            ]
            if not places:
                doc.complain(f"$.then[{at}].ask.results.{result.id}", "the answer before makes no such call")
                continue
            results.append(replace(result, at=places[0][0], name=places[0][1]))
        called = {call.id for items in exchanges[at].say.values() for call in calls_of(items)}
        missing = called - {result.id for result in exchange.ask.results}
        if missing and exchange.ask.results:
            doc.complain(f"$.then[{at}].ask.results", f"no result for {', '.join(sorted(missing))}")
        linked.append(replace(exchange, ask=replace(exchange.ask, results=tuple(results))))
    return tuple(linked)


def _by_dialect(read: Any) -> Any:
    def table(doc: Doc, value: Any, path: str) -> dict[str, Any]:
        out = {}
        for key, item in mapping(doc, value, path).items():
            one_of(*NAMES)(doc, key, f"{path}.{key}")
            out[key] = read(doc, item, f"{path}.{key}")
        return out

    return table


# ---- ask -------------------------------------------------------------------------------------------------------------


def _ask(doc: Doc, value: Any, path: str) -> Ask:
    keys = Map(doc, value, path)
    ask = Ask(
        system=keys.take("system", texts, ()),
        turns=keys.take("turns", each(_turn), ()),
        user=keys.take("user", _parts, ()),
        results=keys.take("results", _results, ()),
        tools=keys.take("tools", each(_tool), ()),
        tool_choice=keys.take("tool_choice", _choice, None),
        parallel=keys.take("parallel", flag, None),
        temperature=keys.take("temperature", number, None),
        top_p=keys.take("top_p", number, None),
        top_k=keys.take("top_k", whole, None),
        presence_penalty=keys.take("presence_penalty", number, None),
        frequency_penalty=keys.take("frequency_penalty", number, None),
        seed=keys.take("seed", whole, None),
        max_tokens=keys.take("max_tokens", whole, None),
        stop=keys.take("stop", texts, ()),
        reasoning=keys.take("reasoning", _reasoning, None),
        format=keys.take("format", _format, None),
        model=keys.take("model", text, None),
        also=keys.take("also", _by_dialect(mapping), {}),
        headers=keys.take("headers", keyed(text), {}),
    )
    keys.close()
    if not (ask.user or ask.results or ask.turns):
        doc.complain(path, "asks nothing: `user`, `turns` or `results` is wanted")
    names = [tool.name for tool in ask.tools]
    match ask.tool_choice:
        case Named(name):
            wanted: tuple[str, ...] = (name,)
        case Allowed(wanted):
            pass
        case _:
            wanted = ()
    for name in wanted:
        if name not in names:
            doc.complain(f"{path}.tool_choice", f"there is no tool {name!r}")
    return ask


def _parts(doc: Doc, value: Any, path: str) -> tuple[Block, ...]:
    return (Text(value),) if isinstance(value, str) else each(_part)(doc, value, path)


def _part(doc: Doc, value: Any, path: str) -> Block:
    kind, inner, where = _single(doc, value, path, ("text", "image", "document", "audio"))
    if kind == "text":
        return Text(text(doc, inner, where))
    keys = Map(doc, inner, where)
    mime, data = keys.take("mime", text, None), keys.take("base64", text, None)
    block: Block
    match kind:
        case "image":
            block = Image(mime, data, keys.take("url", text, None))
        case "document":
            block = Document(
                mime, data, keys.take("url", text, None), keys.take("text", text, None), keys.take("name", text, None)
            )
        case _:
            block = Audio(mime, data)
    keys.close()
    return block


def _single(doc: Doc, value: Any, path: str, words: tuple[str, ...]) -> tuple[str, Any, str]:
    """A mapping of one key that is one of the words: (word, value, path)."""
    if isinstance(value, str) and "text" in words:
        return "text", value, path
    if not isinstance(value, dict) or len(value) != 1:
        doc.complain(path, f"a mapping of one key was wanted ({', '.join(words)}), found {shown(value)}")
        return words[0], "", path
    ((word, inner),) = value.items()
    if word not in words:
        one_of(*words)(doc, word, f"{path}.{word}")
        return words[0], "", path
    return word, inner, f"{path}.{word}"


def _turn(doc: Doc, value: Any, path: str) -> Turn:
    role, inner, where = _single(doc, value, path, ("user", "assistant", "system", "results"))
    match role:
        case "results":
            return Turn("user", _results(doc, inner, where))
        case "assistant":
            blocks = (Text(inner),) if isinstance(inner, str) else each(_said)(doc, inner, where)
            return Turn("assistant", blocks)
        case _:
            return Turn(cast("Literal['user', 'system']", role), _parts(doc, inner, where))


def _said(doc: Doc, value: Any, path: str) -> Block:
    """A block of an assistant turn in a literal history."""
    match read_item(doc, value, path):
        case SayText(deltas):
            return Text("".join(deltas))
        case SayThink(deltas):
            return Think("".join(deltas))
        case SayRefusal(deltas):
            return Refuse("".join(deltas))
        case SayCall(id, name, fragments, _, kind, namespace):
            empty = "" if kind == "custom" else "{}"
            return Call(id, name, "".join(fragments) or empty, kind=kind, namespace=namespace)
        case _:
            doc.complain(path, "an assistant turn of a history holds text, think, refusal and call only")
            return Text("")


def _results(doc: Doc, value: Any, path: str) -> tuple[Result, ...]:
    out = []
    for id, given in mapping(doc, value, path).items():
        where = f"{path}.{id}"
        if isinstance(given, dict):
            keys = Map(doc, given, where)
            out.append(Result(id, keys.need("error", _parts, ()), error=True))
            keys.close()
        else:
            out.append(Result(id, _parts(doc, given, where)))
    return tuple(out)


def _tool(doc: Doc, value: Any, path: str) -> Tool:
    """A function, or with `custom: true` or a grammar a tool that takes free text."""
    keys = Map(doc, value, path)
    grammar = keys.take("grammar", _grammar, None)
    custom = keys.take("custom", flag, grammar is not None)
    tool = Tool(
        keys.need("name", text, ""),
        keys.take("description", text, None),
        None if custom else keys.take("parameters", mapping, None),
        None if custom else keys.take("strict", flag, None),
        "custom" if custom else "function",
        keys.take("namespace", text, None),
        grammar,
        keys.take("among", flag, False),
    )
    keys.close()
    return tool


def _grammar(doc: Doc, value: Any, path: str) -> Grammar:
    keys = Map(doc, value, path)
    grammar = Grammar(keys.need("syntax", one_of("lark", "regex"), "lark"), keys.need("definition", text, ""))
    keys.close()
    return grammar


def _choice(doc: Doc, value: Any, path: str) -> Choice:
    if isinstance(value, dict):
        keys = Map(doc, value, path)
        chosen: Choice
        if "allowed" in keys.left:
            chosen = Allowed(keys.take("allowed", texts, ()), keys.take("mode", one_of("auto", "required"), "auto"))
        else:
            chosen = Named(keys.need("name", text, ""))
        keys.close()
        return chosen
    return one_of(*CHOICES)(doc, value, path)


def _reasoning(doc: Doc, value: Any, path: str) -> str | int:
    return whole(doc, value, path) if isinstance(value, int) else text(doc, value, path)


def _format(doc: Doc, value: Any, path: str) -> Format:
    if isinstance(value, str):
        one_of("json")(doc, value, path)
        return Format()
    keys = Map(doc, value, path)
    found = Format(keys.need("schema", mapping, {}), keys.take("name", text, "answer"), keys.take("strict", flag, None))
    keys.close()
    return found


# ---- say -------------------------------------------------------------------------------------------------------------


def _say(doc: Doc, value: Any, path: str) -> dict[str, tuple[Item, ...]]:
    if isinstance(value, dict):
        return keyed(read_items)(doc, value, path)
    return {EVERYONE: read_items(doc, value, path)}


# ---- expect, hear, raw, wire -----------------------------------------------------------------------------------------


def _expect(doc: Doc, value: Any, path: str) -> dict[str, Any]:
    found = mapping(doc, value, path)
    for expression in found:
        try:
            parse_path(expression)
        except JSONPathError as problem:
            doc.complain(f"{path}.{expression}", f"not a JSONPath: {problem}")
    return found


def _hear(doc: Doc, value: Any, path: str) -> Hear:
    keys = Map(doc, value, path)
    hear = Hear(
        error=keys.take("error", _hear_error, None),
        headers=keys.take("headers", keyed(text), {}),
        after=keys.take("after", text, None),
        stop=keys.take("stop", one_of(*STOPS), None),
        text=keys.take("text", text, None),
        calls=keys.take("calls", each(mapping), None),
    )
    keys.close()
    return hear


def _hear_error(doc: Doc, value: Any, path: str) -> HearError:
    keys = Map(doc, value, path)
    error = HearError(
        keys.take("status", whole, None),
        keys.take("kind", one_of(*KINDS), None),
        keys.take("says", _says, {}),
    )
    keys.close()
    return error


def _says(doc: Doc, value: Any, path: str) -> dict[str, str]:
    """What an error must say: to every client the same, or by dialect."""
    return dict.fromkeys(NAMES, value) if isinstance(value, str) else dict(_by_dialect(text)(doc, value, path))


def _raw(doc: Doc, value: Any, path: str) -> Raw:
    keys = Map(doc, value, path)
    raw = Raw(
        keys.take("status", whole, 200),
        keys.take("headers", keyed(text), {}),
        keys.take("body", anything, None),
        keys.take("frames", each(anything), None),
    )
    keys.close()
    return raw


def _wire(doc: Doc, value: Any, path: str) -> Wire:
    keys = Map(doc, value, path)
    wire = Wire(
        keys.take("write", whole, None),
        keys.take("newline", one_of("lf", "crlf"), "lf"),
        keys.take("comments", flag, False),
    )
    keys.close()
    if wire.write is not None and wire.write < 1:
        doc.complain(f"{path}.write", "at least one byte a write")
    return wire
