"""A judge: one of an SDK's own types, held strictly against JSON text, unknown keys included. It knows no SDK."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from pydantic import BaseModel, TypeAdapter

Judge: TypeAlias = Callable[[str | bytes], None]
"""Raises where a JSON text is not what the type says."""


def judge(kind: Any, beyond: frozenset[str] = frozenset()) -> Judge:
    """A judge by this type.

    SDKs let unknown keys pass, to be ready for what comes; `beyond` names those that the wire really has and the
    types lack, as paths. Any other is an invention.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def judged(text: str | bytes) -> None:
        found = adapter.validate_json(text, strict=True)
        strangers = set(unknown(json.loads(text), found)) - beyond
        assert not strangers, f"{type(found).__name__} knows nothing of {', '.join(sorted(strangers))}"

    return judged


def unknown(value: Any, model: Any, path: str = "") -> Iterator[str]:
    """The paths of the keys that the model made of this JSON value has no field for; `[]` stands for any index."""
    match value, model:
        case dict(), BaseModel():
            fields = {field.alias or name: name for name, field in type(model).model_fields.items()}
            for key, inner in value.items():
                here = f"{path}.{key}" if path else key
                if key not in fields:
                    yield here
                else:
                    yield from unknown(inner, getattr(model, fields[key]), here)
        case list(), list():
            for inner, item in zip(value, model, strict=True):
                yield from unknown(inner, item, f"{path}[]")
        case _:
            pass
