"""One provider file into a Provider; it knows the schema, and of the dialects only their names."""

from __future__ import annotations

from .dialects.contract import Auth, Provider
from .dialects.names import NAMES
from .lines import Doc, Map, Mistake, each, keyed, mapping, one_of, text, whole
from .sayfile import read_items
from .scenario import CAPABILITIES

HEADERS = ("authorization", "x-api-key", "x-goog-api-key")


def read_provider(name: str, file: str, source: str) -> tuple[Provider | None, list[Mistake]]:
    """The provider of a file, or None, and its mistakes."""
    doc = Doc(file, source)
    if doc.value is None:
        return None, doc.mistakes
    top = Map(doc, doc.value, "$")
    provider = Provider(
        name=name,
        protocol=top.need("protocol", one_of(*NAMES), NAMES[0]),
        base_path=top.take("base_path", _base_path, ""),
        models=top.take("models", keyed(text), {}),
        default_model=top.take("default_model", text, None),
        capabilities=top.take("capabilities", _capabilities, ()),
        limits=top.take("limits", mapping, {}),
        quirks=top.take("quirks", each(text), ()),
        priority=top.take("priority", whole, None),
        max_tokens=top.take("max_tokens", whole, None),
        auth=top.need("auth", _auth, Auth("authorization", "")),
        replies=top.take("replies", keyed(read_items), {}),
        habits=top.take("habits", each(text), ()),
        file=file,
    )
    top.take("why", text, "")
    top.close()
    if provider.default_model is not None and provider.default_model not in provider.upstream_models:
        doc.complain("$.default_model", f"{provider.default_model} is none of the models' upstream names")
    return (None if doc.mistakes else provider), doc.mistakes


def _auth(doc: Doc, value: object, path: str) -> Auth:
    auth = Map(doc, value, path)
    found = Auth(auth.need("header", one_of(*HEADERS), HEADERS[0]), auth.need("key", text, ""))
    auth.close()
    return found


def _capabilities(doc: Doc, value: object, path: str) -> tuple[str, ...]:
    """`auto` leaves them to what the protocol can say."""
    return () if value == "auto" else each(one_of(*CAPABILITIES))(doc, value, path)


def _base_path(doc: Doc, value: object, path: str) -> str:
    found = text(doc, value, path)
    if found and (not found.startswith("/") or found.endswith("/")):
        doc.complain(path, f"{found!r} must start with a slash and not end with one")
    return found
