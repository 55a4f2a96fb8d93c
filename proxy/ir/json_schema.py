"""Converts a JSON Schema to what a target takes; `SchemaRules` says what that is, and at which depth.

What was removed or replaced is named by its path, so that it can be declared as a loss. What is added because a target
wants it said, such as empty `properties`, changes no meaning and is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose value maps names to schemas."""
SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
"""Keywords whose value is a list of schemas."""
SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
"""Keywords whose value is a schema."""
_TOLD_APART = frozenset((*SCHEMA_MAPS, *SCHEMA_LISTS, *SCHEMAS, "minItems"))
"""Keywords of which the value, too, decides what becomes of them."""
DEFINITIONS = ("$defs", "definitions")
UNIONS = ("anyOf", "oneOf", "allOf")

MAX_DEPTH = 200
"""Schemas within each other; a request's own bound is lower."""


class SchemaRules(Struct, frozen=True, kw_only=True):
    """The schemas that one target takes in one place."""

    is_object: bool = False
    """True if the whole must be an object with `properties`."""
    not_on_top: frozenset[str] = frozenset()
    """Keywords that the outermost schema may not have."""
    nowhere: frozenset[str] = frozenset()
    """Keywords that no schema may have."""
    renamed: Mapping[str, str] = {}
    """Keywords that must be said by a similar one."""
    is_closed: bool = False
    """True if every object must forbid further properties."""
    closing_changes: bool = True
    """False if an object that says nothing of further properties may be closed without a word."""
    few_items: bool = False
    """True if an array may only be asked for one item or none at least."""
    has_items: bool = False
    """True if every array must say what its items are."""
    bare_references: bool = False
    """True if a reference stands alone in its schema."""
    is_finite: bool = False
    """True if no schema may contain itself."""
    outside: frozenset[str] = frozenset()
    """Keywords with which a schema cannot be converted at all."""


def fit_schema(schema: dict[str, Any], rules: SchemaRules) -> tuple[dict[str, Any], list[str]]:
    """Returns the schema as the rules allow it, and the paths of everything that was removed or replaced."""
    changed: list[str] = []
    if rules.is_object:
        schema = _as_object(schema, rules, changed)
    return _fit(schema, rules, schema, changed, "", 0), changed


def is_convertible(schema: Any, rules: SchemaRules) -> bool:
    """Returns whether the schema holds nothing that the rules exclude altogether."""
    if type(schema) is not dict:
        return True
    if not rules.outside.isdisjoint(schema) or (rules.is_finite and is_recursive(schema)):
        return False
    return all(is_convertible(inner, rules) for _, inner in _inner(schema))


def is_recursive(schema: dict[str, Any]) -> bool:
    """Returns whether a schema refers to one that contains it."""
    definitions = _definitions(schema)
    rest = {key: value for key, value in schema.items() if key not in DEFINITIONS}
    references = {name: set(_references(inner)) for name, inner in {**definitions, "#": rest}.items()}
    return _has_cycle(references)


# ---- the outermost schema --------------------------------------------------------------------------------------------


def _as_object(schema: dict[str, Any], rules: SchemaRules, changed: list[str]) -> dict[str, Any]:
    """Returns the schema as one object with properties; unions are merged into it."""
    definitions = _definitions(schema)
    out = _resolved(schema, definitions)
    if out is not schema:
        out = {**{key: schema[key] for key in DEFINITIONS if key in schema}, **out}
    if "$ref" in out:  # to itself, or to what is not there
        changed.append(".$ref")
        out = {key: value for key, value in out.items() if key != "$ref"}
    kind = out.get("type")
    if type(kind) is list and "object" in kind:
        if kind != ["object"]:
            changed.append(".type")
    elif kind is not None and kind != "object":
        changed.append(".type")
        inner = {key: value for key, value in out.items() if key not in DEFINITIONS}
        kept = {key: out[key] for key in DEFINITIONS if key in out}
        return {"type": "object", "properties": {"input": inner}, "required": ["input"], **kept}
    out = {**out, "type": "object"}
    for key in UNIONS:
        if key in rules.not_on_top and key in out:
            branches = out.pop(key)
            changed.append(f".{key}")
            if type(branches) is list:
                _merge(out, [_resolved(branch, definitions) for branch in branches if type(branch) is dict], key)
    for key in rules.not_on_top.intersection(out):
        del out[key]
        changed.append(f".{key}")
    if type(out.get("properties")) is not dict:
        if "properties" in out:
            changed.append(".properties")
        out["properties"] = {}
    return out


def _resolved(schema: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema that this one refers to, together with what stands beside the reference."""
    seen: set[str] = set()
    while type(name := schema.get("$ref")) is str and name in definitions and name not in seen:
        seen.add(name)
        target = definitions[name]
        if type(target) is not dict:
            break
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _merge(out: dict[str, Any], branches: list[dict[str, Any]], union: str) -> None:
    """Adds the properties of the branches; those that every branch requires stay required, or all of `allOf`."""
    found: dict[str, list[Any]] = {}
    for fields in (out, *branches):
        properties = fields.get("properties")
        for name, inner in properties.items() if type(properties) is dict else ():
            if inner not in found.setdefault(name, []):
                found[name].append(inner)
    join = "allOf" if union == "allOf" else "anyOf"
    out["properties"] = {name: inner[0] if len(inner) == 1 else {join: inner} for name, inner in found.items()}
    required = [_names(branch.get("required")) for branch in branches]
    both = set().union(*required) if union == "allOf" else set.intersection(*required) if required else set()
    names = [name for name in dict.fromkeys((*sorted(_names(out.get("required"))), *sorted(both))) if name in found]
    if names:
        out["required"] = names
    else:
        out.pop("required", None)


def _names(value: Any) -> set[str]:
    return {name for name in value if type(name) is str} if type(value) is list else set()


# ---- every schema ----------------------------------------------------------------------------------------------------


def _fit(
    schema: dict[str, Any], rules: SchemaRules, root: dict[str, Any], changed: list[str], path: str, depth: int
) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        changed.append(path)
        return {}
    reference = schema.get("$ref")
    if type(reference) is str and not _leads_somewhere(reference, root):
        schema = {key: value for key, value in schema.items() if key != "$ref"}  # it points to nothing
        changed.append(f"{path}.$ref")
    elif rules.bare_references and type(reference) is str:
        beside = [key for key in schema if not key.startswith("$")]
        changed += (f"{path}.{key}" for key in beside)
        schema = {key: value for key, value in schema.items() if key not in beside}
    out: dict[str, Any] = {}
    nowhere, renamed = rules.nowhere, rules.renamed
    for key, value in schema.items():
        if key not in _TOLD_APART and key not in nowhere and key not in renamed:  # most are
            out[key] = value
            continue
        here = f"{path}.{key}"
        if key in nowhere or (rules.few_items and key == "minItems" and value not in (0, 1)):
            changed.append(here)
            continue
        if key in renamed:
            changed.append(here)
            key = renamed[key]
            if key in schema or type(value) is not list:
                continue  # one of the two stays
        if key in SCHEMA_MAPS and type(value) is dict:
            out[key] = {
                name: _fit_inner(inner, rules, root, changed, f"{here}.{name}", depth) for name, inner in value.items()
            }
        elif key in SCHEMA_LISTS and type(value) is list:
            out[key] = [_fit_inner(inner, rules, root, changed, f"{here}[{i}]", depth) for i, inner in enumerate(value)]
        elif key in SCHEMAS:
            out[key] = _fit_inner(value, rules, root, changed, here, depth)
        else:
            out[key] = value
    if rules.is_closed and is_object(out) and out.get("additionalProperties") is not False:
        if rules.closing_changes or "additionalProperties" in out:
            changed.append(f"{path}.additionalProperties")
        out["additionalProperties"] = False
    if rules.has_items and _is_array(out) and "items" not in out:
        out["items"] = {}
    return out


def _fit_inner(schema: Any, rules: SchemaRules, root: dict[str, Any], changed: list[str], path: str, depth: int) -> Any:
    return _fit(schema, rules, root, changed, path, depth + 1) if type(schema) is dict else schema


def is_object(schema: dict[str, Any]) -> bool:
    """Returns whether the schema is one of objects, said or by its properties."""
    kind = schema.get("type")
    return kind == "object" or (type(kind) is list and "object" in kind) or (kind is None and "properties" in schema)


def _is_array(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "array" or (type(kind) is list and "array" in kind)


def _inner(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the schemas directly within this one, with their paths."""
    for key, value in schema.items():
        if key in SCHEMA_MAPS and type(value) is dict:
            yield from ((f".{key}.{name}", inner) for name, inner in value.items())
        elif key in SCHEMA_LISTS and type(value) is list:
            yield from ((f".{key}[{i}]", inner) for i, inner in enumerate(value))
        elif key in SCHEMAS:
            yield f".{key}", value


# ---- references ------------------------------------------------------------------------------------------------------


def _definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the definitions by the reference that leads to them."""
    found: dict[str, Any] = {}
    for key in DEFINITIONS:
        inner = schema.get(key)
        if type(inner) is dict:
            found |= {f"#/{key}/{name}": value for name, value in inner.items()}
    return found


def _leads_somewhere(reference: str, root: dict[str, Any]) -> bool:
    """Returns whether a reference into this schema has a target; one to another document is not judged."""
    if not reference.startswith("#/"):
        return True
    value: Any = root
    for step in reference[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if type(value) is list and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        elif type(value) is dict and key in value:
            value = value[key]
        else:
            return False
    return True


def _references(value: Any) -> Iterator[str]:
    if type(value) is dict:
        if type(value.get("$ref")) is str:
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif type(value) is list:
        for inner in value:
            yield from _references(inner)


def _has_cycle(references: dict[str, set[str]]) -> bool:
    """Returns whether following references leads back to a name; each is followed once, however many there are."""
    done: set[str] = set()
    for start in references:
        path: dict[str, Iterator[str]] = {} if start in done else {start: iter(references[start])}
        while path:
            name = next(path[next(reversed(path))], None)
            if name is None:
                done.add(path.popitem()[0])
            elif name in path:
                return True
            elif name not in done:
                path[name] = iter(references.get(name, ()))
    return False
