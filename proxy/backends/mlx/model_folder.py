"""Reads and validates a model's folder before mlx-lm does, which would download missing files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec import Struct

TINY = Path(__file__).with_name("tiny")
"""The bundled model: it can greet, count, repeat, remember names and call tools, and nothing else."""

DEFAULT_CONTEXT = 4096
"""Context length in tokens if the model's config has none."""

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tiktoken.model")


class ModelInfo(Struct, frozen=True):
    """Context length in tokens and default sampling of a model, as its folder says."""

    folder: Path
    context: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0


class BadFolder(Exception):
    """The folder holds no usable model; the message says what is missing and what to do."""


def folder_of(configured: str) -> Path:
    """Returns the configured folder, or that of the bundled model if it is empty."""
    return Path(configured).expanduser() if configured else TINY


def read_folder(folder: Path) -> ModelInfo:
    """Reads what is known of a model without loading it; raises BadFolder."""
    if not folder.is_dir():
        raise BadFolder(f"{folder} is not a folder; give one that contains a model (models are never downloaded)")
    config = _json(folder / "config.json")
    if not any(folder.glob("model*.safetensors")):
        raise BadFolder(f"{folder} holds no model*.safetensors; convert the model with `mlx_lm.convert` first")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise BadFolder(f"{folder} holds no tokenizer.json; copy the model's tokenizer into it")
    if not isinstance(config.get("model_type"), str):
        raise BadFolder(f"{folder / 'config.json'} has no model_type; it is not a model's config")
    inner = config.get("text_config")
    merged = {**(inner if isinstance(inner, dict) else {}), **config}
    lengths = [merged[key] for key in _LENGTHS if isinstance(merged.get(key), int) and merged[key] > 0]
    generation_config = (
        _json(folder / "generation_config.json") if (folder / "generation_config.json").is_file() else {}
    )
    if generation_config.get("do_sample") is not True:
        generation_config = {}
    return ModelInfo(
        folder,
        lengths[0] if lengths else DEFAULT_CONTEXT,
        float(generation_config.get("temperature") or (1.0 if generation_config else 0.0)),
        float(generation_config.get("top_p") or 1.0),
        int(generation_config.get("top_k") or 0),
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
