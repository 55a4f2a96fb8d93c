"""A model's folder, looked at before any library does: mlx-lm would ask a hub for what is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec import Struct

TINY = Path(__file__).with_name("tiny")
"""The model that is shipped: it greets, counts, repeats, remembers names and calls tools, and is no more than that."""

DEFAULT_CONTEXT = 4096
"""Tokens of context of a model whose config names none."""

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tiktoken.model")


class Model(Struct, frozen=True):
    """What a folder says of its model: its context in tokens, and how it is to be sampled where nobody says."""

    folder: Path
    context: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0


class BadFolder(Exception):
    """This folder holds no model; the message says what is missing and what to do."""


def folder_of(given: str) -> Path:
    """The folder that a config names, or that of the model that is shipped."""
    return Path(given).expanduser() if given else TINY


def read_folder(folder: Path) -> Model:
    """What there is to know of a model without loading it; raises BadFolder."""
    if not folder.is_dir():
        raise BadFolder(f"{folder} is no folder; give one that holds a model (nothing is ever downloaded)")
    config = _json(folder / "config.json")
    if not any(folder.glob("model*.safetensors")):
        raise BadFolder(f"{folder} holds no model*.safetensors; convert the model with `mlx_lm.convert` first")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise BadFolder(f"{folder} holds no tokenizer.json; copy the model's tokenizer into it")
    if not isinstance(config.get("model_type"), str):
        raise BadFolder(f"{folder / 'config.json'} names no model_type; it is no model's config")
    inner = config.get("text_config")
    both = {**(inner if isinstance(inner, dict) else {}), **config}
    lengths = [both[key] for key in _LENGTHS if isinstance(both.get(key), int) and both[key] > 0]
    how = _json(folder / "generation_config.json") if (folder / "generation_config.json").is_file() else {}
    if how.get("do_sample") is not True:
        how = {}
    return Model(
        folder,
        lengths[0] if lengths else DEFAULT_CONTEXT,
        float(how.get("temperature") or (1.0 if how else 0.0)),
        float(how.get("top_p") or 1.0),
        int(how.get("top_k") or 0),
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except OSError:
        raise BadFolder(f"{file.parent} holds no {file.name}; give the folder of a model") from None
    except (ValueError, RecursionError):
        raise BadFolder(f"{file} is not JSON; copy it again from where the model came from") from None
    if not isinstance(found, dict):
        raise BadFolder(f"{file} holds no JSON object; copy it again from where the model came from")
    return found
