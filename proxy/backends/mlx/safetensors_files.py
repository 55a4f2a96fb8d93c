"""Reads the headers of a model's weights: names, shapes and sizes, without the numbers.

"8 bytes: N, an unsigned little-endian 64-bit integer, containing the size of the header; N bytes: a JSON UTF-8 string"
https://huggingface.co/docs/safetensors#format
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .bad_folder import BadFolder

HEADER_LIMIT = 100_000_000
"""Bytes of a header; the format's own library takes no longer one."""


def read_tensors(folder: Path) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of all weights by name; raises BadFolder for a file that is missing, cut off or another."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise BadFolder(f"{folder} holds no model*.safetensors; convert the model with `mlx_lm.convert` first")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        missing = sorted(_files_of(index) - {file.name for file in files})
        if missing:
            raise BadFolder(f"{folder} lacks {', '.join(missing[:3])}, which {index.name} names; copy all files")
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        found |= _tensors_of(file)
    return found


def weight_bytes(folder: Path) -> int:
    """Returns the size of the weights, which is about what they take of the memory."""
    return sum(file.stat().st_size for file in folder.glob("model*.safetensors"))


def _files_of(index: Path) -> set[str]:
    try:
        names = json.loads(index.read_bytes())["weight_map"].values()
        return {str(name) for name in names}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadFolder(f"{index} has no weight_map; copy it again from where the model came from") from None


def _tensors_of(file: Path) -> dict[str, tuple[int, ...]]:
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        if start.startswith(b"version "):
            # https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
            raise BadFolder(f"{file} is a pointer of Git LFS and not the weights; fetch them with `git lfs pull`")
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > HEADER_LIMIT:
            raise BadFolder(f"{file} is not a file of safetensors; copy it again from where the model came from")
        text = opened.read(length)
    try:
        header: dict[str, Any] = json.loads(text)
        header.pop("__metadata__", None)
        found = {name: tuple(int(n) for n in entry["shape"]) for name, entry in header.items()}
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise BadFolder(f"{file} is not a file of safetensors; copy it again from where the model came from") from None
    if size < 8 + length + end:
        raise BadFolder(f"{file} is cut off: it has {size} bytes of {8 + length + end}; copy it again")
    return found
