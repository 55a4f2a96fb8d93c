"""Stores snapshots as JSON files: one file per snapshot, keys in wire order, the snapshot's name as its path."""

from __future__ import annotations

import json
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
    if type(base) is type(other) is list and len(base) == len(other):
        out = {}
        for i, (one, two) in enumerate(zip(base, other, strict=True)):
            out |= json_deviation(one, two, f"{path}[{i}]")
        return out
    return {} if base == other and type(base) is type(other) else {path: other}
