"""The JSON Schema of a file, made of the readers that parse it: their calls are recorded while they read nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .provider_parser import provider_keys
from .story_parser import SAYS, story_keys
from .yaml_reader import (
    SHAPES,
    ListOf,
    MappingOf,
    OneKey,
    OneOf,
    Reader,
    YamlDocument,
    YamlMapping,
    anything,
    boolean,
    integer,
    mapping,
    nothing,
    number,
    string,
    string_list,
)

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

SIMPLE: dict[Reader[Any], Schema] = {
    string: {"type": "string"},
    number: {"type": "number"},
    integer: {"type": "integer"},
    boolean: {"type": "boolean"},
    nothing: {"type": "null"},
    mapping: {"type": "object"},
    anything: {},
    string_list: {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
}
"""Reader of a simple value to its schema."""


def story_schema() -> Schema:
    """Returns the schema of a story file."""
    return file_schema(story_keys, "Story of Crosswire's mock server", "docs/mock-server.md explains every key.") | SAYS


def provider_schema() -> Schema:
    """Returns the schema of a provider file."""
    title = "Provider of Crosswire's mock server"
    return file_schema(provider_keys, title, "docs/mock-server.md explains every key.")


def file_schema(read_keys: Callable[[YamlMapping], object], title: str, description: str) -> Schema:
    """Returns the schema of a file whose keys are read by `read_keys`."""
    builder = _Builder()
    doc = YamlDocument("", "{}")
    top = YamlMapping(doc, doc.value, "$")
    read_keys(top)
    head: Schema = {"$schema": DIALECT, "title": title, "description": description}
    return head | builder.keys(top, doc) | {"$defs": dict(sorted(builder.definitions.items()))}


class _Builder:
    """Makes the schemas of readers; those of functions become definitions, which are referred to by their names."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._names: dict[Reader[Any], str] = {}

    def schema(self, read: Reader[Any]) -> Schema:
        """Returns the schema of the values that a reader takes."""
        match read:
            case ListOf(read=inner):
                return {"type": "array", "items": self.schema(inner)}
            case MappingOf(read=inner, names=names):
                found: Schema = {"type": "object", "additionalProperties": self.schema(inner)}
                return found | ({"propertyNames": {"enum": list(names)}} if names else {})
            case OneOf(words=words):
                return {"enum": list(words)}
            case OneKey(readers=readers):
                one = {
                    "type": "object",
                    "properties": {word: self.schema(inner) for word, inner in readers.items()},
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                }
                return {"anyOf": [{"type": "string"}, one]} if "text" in readers else one
        if read in SIMPLE:
            return SIMPLE[read]
        return {"$ref": f"#/$defs/{self._definition(read)}"}

    def _definition(self, read: Reader[Any]) -> str:
        if read not in self._names:
            # an item of a reply has the name of its key
            plain = getattr(read, "__name__", None) or f"item-{getattr(read, 'word', '')}"
            name = plain.strip("_").removeprefix("read_").replace("_", "-")
            while name in self.definitions:
                name += "-"
            self._names[read] = name
            self.definitions[name] = {}  # its own schema may refer to it
            self.definitions[name] = self._shape(read)
        return self._names[read]

    def _shape(self, read: Reader[Any]) -> Schema:
        shape = SHAPES.get(read)
        if shape is None or not shape.readers:
            doc = YamlDocument("", "{}")
            read(doc, doc.value, "$")
            found = self.keys(doc.opened[0], doc)
        else:
            several = [self.schema(reader) for reader in shape.readers]
            found = several[0] if len(several) == 1 else {"anyOf": several}
        also = {} if shape is None else dict(shape.also)
        if "required" in also:
            also["required"] = sorted({*found.get("required", ()), *also["required"]})
        return found | also

    def keys(self, read: YamlMapping, doc: YamlDocument) -> Schema:
        """Returns the schema of a mapping of the keys that were read."""
        inner = {each.path: each for each in doc.opened if each is not read}
        properties: Schema = {}
        for key, reader in read.readers.items():
            below = inner.get(f"{read.path}.{key}")
            properties[key] = self.schema(reader) if below is None else self.keys(below, doc)
        found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return found | ({"required": sorted(read.required)} if read.required else {})
