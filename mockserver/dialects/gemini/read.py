"""What a Gemini request means in neutral terms; what has no noun is listed, nothing is judged."""

from __future__ import annotations

from collections.abc import Mapping
from mimetypes import guess_type
from typing import Any
from urllib.parse import unquote

from ...frames import dump
from ...speech import (
    Allowed,
    Audio,
    Block,
    Call,
    Choice,
    Document,
    Format,
    Image,
    Named,
    Result,
    Role,
    Text,
    Tool,
    Turn,
    Video,
)
from ..body import Obj, named
from ..contract import Malformed, Understood
from .fields import DATA, camel
from .parts import Part, Words, weave
from .words import PATH

ROLES: dict[str, Role] = {"user": "user", "model": "assistant", "function": "user", "tool": "user", "": "user"}
"""`function` and `tool` are what older clients call the turn that holds responses; a lone content needs no role."""

CHOICES: dict[str, str] = {"AUTO": "auto", "NONE": "none", "ANY": "required"}

SAMPLING: dict[str, str] = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "seed": "seed",
}

TYPES = ("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
"""The types of a schema, each at its number."""

HARMLESS: dict[str, tuple[object, ...]] = {
    "candidateCount": (1,),
    "responseModalities": (["TEXT"],),
    "responseLogprobs": (False,),
}
"""Fields of `generationConfig` whose value asks only for the default."""


class Fields(Obj):
    """An object whose keys may be in camelCase or snake_case, and whose lists of one may come without brackets."""

    def __init__(self, value: Any, path: str, extra: dict[str, Any]) -> None:
        if isinstance(value, dict):
            spelt = {camel(key): item for key, item in value.items()}
            if len(spelt) != len(value):
                raise Malformed(path, "a field comes twice, in two spellings")
            value = spelt
        super().__init__(value, path, extra)

    def obj(self, key: str) -> Fields | None:
        value = self.any(key)
        return None if value is None else Fields(value, f"{self.path}.{key}", self.extra)

    def objs(self, key: str) -> tuple[Fields, ...]:
        return tuple(Fields(item, f"{self.path}.{key}[{at}]", self.extra) for at, item in enumerate(self.list(key)))

    def list(self, key: str) -> list[Any]:
        value = self.any(key)
        return [] if value is None else value if isinstance(value, list) else [value]

    def need(self, key: str) -> Fields:
        super().need(key)
        return self


def read(path: str, headers: Mapping[str, str], body: Any) -> Understood:
    """Raises `Malformed`; `extra` lists every part of the body that is not in the other fields."""
    extra: dict[str, Any] = {}
    top = Fields(body, "$", extra)
    model, method = method_of(path)
    # Client libraries repeat the path's model in the body.
    top.drop("model", model, f"models/{model}")
    turns = tuple(turn for content in top.need("contents").objs("contents") if (turn := _turn(content)) is not None)
    config = top.obj("generationConfig") or Fields({}, "$.generationConfig", extra)
    for key, defaults in HARMLESS.items():
        config.drop(key, *defaults)
    tools = tuple(tool for entry in top.objs("tools") for tool in _tools(entry))
    understood = Understood(
        model=model,
        stream=method == "streamGenerateContent",
        system=_system(top),
        turns=turns,
        tools=tools,
        tool_choice=_choice(top),
        sampling={word: value for key, word in SAMPLING.items() if (value := _number(config, key)) is not None},
        max_tokens=_whole(config, "maxOutputTokens"),
        stop=_stop(config),
        shown=_shown(config),
        reasoning=_reasoning(config),
        format=_format(config),
        extra=extra,
    )
    config.close()
    top.close()
    return understood


def method_of(path: str) -> tuple[str | None, str | None]:
    """The model and the method that a path names."""
    found = PATH.search(unquote(path.partition("?")[0]))
    return (found[1], found[2]) if found else (None, None)


# ---- contents --------------------------------------------------------------------------------------------------------


def _system(top: Fields) -> tuple[str, ...]:
    content = top.obj("systemInstruction")
    if content is None:
        return ()
    # Whatever role it is given, it is the system's.
    content.text("role")
    texts = []
    for part in content.objs("parts"):
        text = part.text("text")
        texts.extend([text] if text is not None else [])
        part.drop("thought", False)
        part.close()
    content.close()
    return tuple(texts)


def _turn(content: Fields) -> Turn | None:
    role = content.text("role") or ""
    if role not in ROLES:
        raise Malformed(f"{content.path}.role", f"no such role: {role!r}")
    blocks = weave([block for part in content.objs("parts") for block in _part(part)], merge=False)
    content.close()
    return Turn(ROLES[role], blocks) if blocks else None


def _part(part: Fields) -> list[Part]:
    seal = part.text("thoughtSignature")
    thought = part.flag("thought") or False
    out: list[Part] = []
    text = part.text("text")
    bare = text is None and not any(part.peek(key) is not None for key in DATA)
    if text or (seal is not None and (text is not None or bare)):
        out.append(Words(text or "", thought, seal))
    inline, file = part.obj("inlineData"), part.obj("fileData")
    if inline is not None:
        out.append(_media(inline.text("mimeType"), inline.text("data"), None, inline.text("displayName")))
        inline.close()
    if file is not None:
        out.append(_media(file.text("mimeType"), None, file.text("fileUri"), file.text("displayName")))
        file.close()
    call, response = part.obj("functionCall"), part.obj("functionResponse")
    if call is not None:
        arguments = dump(call.dict("args") or {})
        out.append(Call(call.text("id") or "", call.need("name").text("name") or "", arguments, seal))
        call.close()
    if response is not None:
        out.append(_result(response))
    if seal is not None and call is None and text is None and not bare:
        part.extra[f"{part.path}.thoughtSignature"] = seal
    part.close()
    return out


def _media(mime: str | None, data: str | None, url: str | None, name: str | None) -> Block:
    kind = (mime or "").partition("/")[0]
    # An address without a type tells it by its end, or where it is the site that shows nothing but videos.
    if not kind and url is not None:
        kind = "video" if "youtu" in url else (guess_type(url)[0] or "").partition("/")[0]
    if kind == "audio":
        return Audio(mime, data, url)
    if kind == "video":
        return Video(mime, data, url)
    if kind in ("image", ""):
        return Image(mime, data, url)
    return Document(mime, data, url, None, name)


def _result(response: Fields) -> Result:
    """The client's own key for a text is taken away; any other object is the result as JSON text."""
    value = response.dict("response") or {}
    error, text = False, ""
    match value:
        case {"error": str(found)} if len(value) == 1:
            error, text = True, found
        case {"error": found} if len(value) == 1:
            error, text = True, dump(found)
        case {"result": str(found)} | {"output": str(found)} if len(value) == 1:
            text = found
        case _ if value:
            text = dump(value)
    blocks: list[Block] = [Text(text)] if text else []
    for part in response.objs("parts"):
        blocks.extend(weave(_part(part), merge=False))
    result = Result(response.text("id") or "", tuple(blocks), error, response.text("name"))
    response.close()
    return result


# ---- settings --------------------------------------------------------------------------------------------------------


def _number(config: Fields, key: str) -> float | int | None:
    """A number, also as text, which Google's JSON takes; a whole one is an int, as top_k often comes as 40.0."""
    value: float | int | None
    text = config.peek(key)
    if isinstance(text, str):
        config.any(key)
        try:
            value = float(text)
        except ValueError:
            raise Malformed(f"{config.path}.{key}", f"a number was wanted, found {named(text)}") from None
    else:
        value = config.number(key)
    whole = key in ("topK", "seed", "maxOutputTokens", "thinkingBudget")
    if whole and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _whole(config: Fields, key: str) -> int | None:
    value = _number(config, key)
    if isinstance(value, float):
        raise Malformed(f"{config.path}.{key}", f"a whole number was wanted, found {value}")
    return value


def _stop(config: Fields) -> tuple[str, ...]:
    found = config.list("stopSequences")
    if not all(isinstance(item, str) for item in found):
        raise Malformed(f"{config.path}.stopSequences", "an array of strings was wanted")
    return tuple(found)


def _tools(entry: Fields) -> list[Tool]:
    tools = []
    for declaration in entry.objs("functionDeclarations"):
        # "parametersJsonSchema: … This field is mutually exclusive with parameters."
        # https://ai.google.dev/api/caching#FunctionDeclaration
        schema, plain = declaration.dict("parametersJsonSchema"), _schema(declaration.dict("parameters"))
        tools.append(
            Tool(
                declaration.need("name").text("name") or "",
                declaration.text("description"),
                schema if schema is not None else plain,
            )
        )
        declaration.close()
    # A hosted tool's settings are messages of the API too, so their fields may be in either spelling.
    for key in entry.keys:
        if (value := entry.any(key)) is not None:
            entry.extra[f"{entry.path}.{key}"] = _spelt(value)
    return tools


def _spelt(value: Any) -> Any:
    if isinstance(value, list):
        return [_spelt(item) for item in value]
    if isinstance(value, dict):
        return {camel(key): _spelt(item) for key, item in value.items()}
    return value


def _schema(value: Any, names: bool = False) -> Any:
    """A schema with its fields in the API's own spelling, and its types in words, for which numbers may stand.

    The keys of a map of `names` are the client's own. https://ai.google.dev/api/caching#Type
    """
    if isinstance(value, list):
        return [_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    if names:
        return {key: _schema(item) for key, item in value.items()}
    kind = value.get("type")
    words = {"type": TYPES[kind]} if type(kind) is int and 0 < kind < len(TYPES) else {}
    return {camel(key): _schema(item, key == "properties") for key, item in value.items()} | words


def _choice(top: Fields) -> Choice | None:
    outer = top.obj("toolConfig")
    inner = outer.obj("functionCallingConfig") if outer is not None else None
    if outer is None or inner is None:
        if outer is not None:
            outer.close()
        return None
    mode, names = inner.text("mode"), inner.list("allowedFunctionNames")
    word = (mode or "AUTO").upper()
    plain = all(isinstance(name, str) for name in names)
    found: Choice | None = CHOICES.get(word)
    if mode is not None and found is None and not (word == "VALIDATED" and names and plain):
        inner.extra[f"{inner.path}.mode"] = mode
    if found == "required" and len(names) == 1 and plain:
        found = Named(names[0])
    elif word in ("ANY", "VALIDATED") and names and plain:
        found = Allowed(tuple(names), "required" if word == "ANY" else "auto")
    elif names:
        inner.extra[f"{inner.path}.allowedFunctionNames"] = names
    inner.close()
    outer.close()
    return found


def _shown(config: Fields) -> bool | None:
    """`includeThoughts`, in either spelling, which `_reasoning` takes. https://ai.google.dev/gemini-api/docs/thinking"""
    thinking = config.peek("thinkingConfig")
    found = {camel(key): value for key, value in thinking.items()} if isinstance(thinking, dict) else {}
    return True if found.get("includeThoughts") is True else None


def _reasoning(config: Fields) -> str | int | bool | None:
    thinking = config.obj("thinkingConfig")
    if thinking is None:
        return None
    level, budget = thinking.text("thinkingLevel"), _whole(thinking, "thinkingBudget")
    thinking.flag("includeThoughts")
    thinking.close()
    return level.lower() if level is not None else budget


def _format(config: Fields) -> Format | None:
    mime = config.text("responseMimeType")
    free, plain = config.dict("responseJsonSchema"), _schema(config.dict("responseSchema"))
    schema = free if free is not None else plain
    if mime not in (None, "text/plain", "application/json"):
        config.extra[f"{config.path}.responseMimeType"] = mime
    return Format(schema) if mime == "application/json" or schema is not None else None
