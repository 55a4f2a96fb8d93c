"""Stores snapshots as JSON files: one file per snapshot, keys in wire order, the snapshot's name as its path."""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation


class JsonSnapshot(SingleFileSnapshotExtension):
    """Stores `snapshot(name="upstream/openai/text")` as `__snapshots__/upstream/openai/text.json`."""

    _write_mode = WriteMode.TEXT
    file_extension = "json"

    def serialize(self, data: Any, **_: Any) -> str:
        return json.dumps(data, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: Any = 0) -> str:
        return f"{test_location.snapshot_name}[{index}]"

    @classmethod
    def matches_test_location(cls, *, test_location: PyTestLocation, snapshot_location: str) -> bool:
        """Matches by folder, as a snapshot's file name does not repeat the test's name."""
        return Path(snapshot_location).is_relative_to(cls.dirname(test_location=test_location))

    @classmethod
    def get_location(cls, *, test_location: PyTestLocation, index: Any) -> str:
        return str(Path(cls.dirname(test_location=test_location)) / f"{index}.{cls.file_extension}")

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        # an absolute folder, as given by --snapshots, replaces the parent
        # an editable install has links to the tests, and the snapshots stand beside the files themselves
        return str(Path(test_location.filepath).resolve().parent / cls.snapshot_dirname)

    @classmethod
    def discovery_dirname(cls, *, test_location: PyTestLocation) -> str:
        return cls.dirname(test_location=test_location)


def is_extension(stored: Any, now: Any, depth: int) -> bool:
    """Returns True if a view only adds keys to the stored one, in its first `depth` levels."""
    if not depth:
        return bool(stored == now)
    return all(name in now and is_extension(value, now[name], depth - 1) for name, value in stored.items())


def json_deviation(base: Any, other: Any, path: str = "$") -> dict[str, Any]:
    """Returns where a value differs from the base: path → the other value, or `(absent)`."""
    if type(base) is type(other) is dict:
        out: dict[str, Any] = {}
        for key in (*base, *(key for key in other if key not in base)):
            if key not in other:
                out[f"{path}.{key}"] = "(absent)"
            elif key not in base:
                out[f"{path}.{key}"] = other[key]
            else:
                out |= json_deviation(base[key], other[key], f"{path}.{key}")
        return out
    if type(base) is type(other) is list:
        return _list_deviation(base, other, path)
    if base == other and type(base) is type(other):
        return {}
    return _event_deviation(base, other, path) or {path: other}


def _list_deviation(base: list[Any], other: list[Any], path: str) -> dict[str, Any]:
    """Compares two lists item by item: `path[3]` is item 3 of the base, `path[+3]` items that come before it.

    Lists of different lengths are aligned first, so that one event more does not print the rest of a stream again.
    """
    if len(base) == len(other):
        spans = [(0, len(base), 0, len(other))]
    else:
        shapes, other_shapes = ([_shape(item) for item in items] for items in (base, other))
        spans = [code[1:] for code in SequenceMatcher(None, shapes, other_shapes).get_opcodes()]
    out: dict[str, Any] = {}
    for start, end, other_start, other_end in spans:
        paired = min(end - start, other_end - other_start)
        for n in range(paired):
            out |= json_deviation(base[start + n], other[other_start + n], f"{path}[{start + n}]")
        out |= {f"{path}[{n}]": "(absent)" for n in range(start + paired, end)}
        if other_start + paired < other_end:
            out[f"{path}[+{end}]"] = other[other_start + paired : other_end]
    return out


def _event_deviation(base: Any, other: Any, path: str) -> dict[str, Any]:
    """Compares two events of a stream by the fields of their JSON; empty where they are no such events."""
    if type(base) is not str or type(other) is not str:
        return {}
    (head, fields), (other_head, other_fields) = _event(base), _event(other)
    if head != other_head or not isinstance(fields, dict) or not isinstance(other_fields, dict):
        return {}
    return json_deviation(fields, other_fields, path)


def _event(text: str) -> tuple[str, Any]:
    """The part of an event before its JSON, and the JSON, or None where there is none."""
    head, mark, data = text.rpartition("data: ")
    try:
        return head + mark, json.loads(data)
    except ValueError:
        return text, None


def _shape(item: Any) -> str:
    """A text that is equal for items to be compared with each other: of an event its head and the fields it has."""
    if type(item) is not str:
        return json.dumps(item, sort_keys=True)
    head, fields = _event(item)
    return head if fields is None else head + json.dumps(_fields_of(fields))


def _fields_of(value: Any) -> Any:
    """The names of the fields at every depth, and the values of `type`."""
    match value:
        case dict():
            return {key: inner if key == "type" else _fields_of(inner) for key, inner in value.items()}
        case list():
            return [_fields_of(inner) for inner in value]
        case _:
            return None
