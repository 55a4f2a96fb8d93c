"""Reads and validates a model's folder before mlx-lm does, which would download missing files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from .bad_folder import BadFolder
from .safetensors_files import read_tensors, weight_bytes

TINY = Path(__file__).with_name("tiny")
"""The bundled model: it can greet, count, repeat, remember names and call tools, and nothing else."""

DEFAULT_CONTEXT = 4096
"""Context length in tokens if the model's config has none."""

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", *_LENGTHS)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tiktoken.model")
_TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
_TEMPLATE_KEYS = ("chat_template", "chat_template_type")
_LAYER = re.compile(r"(?:^|\.)(?:layers|blocks|h)\.(\d+)\.")
_EMBEDDINGS = ("model.embed_tokens.weight", "language_model.model.embed_tokens.weight", "transformer.wte.weight")

AFFINE_BITS, AFFINE_GROUPS = (2, 3, 4, 5, 6, 8), (32, 64, 128)
"""The bits and groups that `mx.quantize` takes: https://ml-explore.github.io/mlx/build/html/python/_autosummary/mlx.core.quantize.html"""

OTHER_MODES = ("mxfp4", "mxfp8", "nvfp4")
"""The modes of that function whose bits and group are fixed."""

FOREIGN_METHODS = ("bitnet", "mxfp4", "mxfp8", "fp8", "compressed-tensors", "modelopt", "awq", "gptq")
"""The quantisations of other libraries that mlx-lm reads: `load_model` in
https://github.com/ml-explore/mlx-lm/blob/main/mlx_lm/utils.py"""


class ModelInfo(Struct, frozen=True):
    """Context length in tokens and default sampling of a model, as its folder says, and the size of its weights."""

    folder: Path
    context: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    nbytes: int = 0


def folder_of(configured: str) -> Path:
    """Returns the configured folder, or that of the bundled model if it is empty."""
    return Path(configured).expanduser() if configured else TINY


def read_folder(folder: Path) -> ModelInfo:
    """Reads what is known of a model without loading it; raises BadFolder."""
    if not folder.is_dir():
        raise BadFolder(f"{folder} is not a folder; give one that contains a model (models are never downloaded)")
    file = folder / "config.json"
    config = _json(file)
    tensors = read_tensors(folder)
    _check_tokenizer(folder)
    if not isinstance(config.get("model_type"), str):
        raise BadFolder(f"{file} has no model_type; it is not a model's config")
    if config.get("model_file") is not None:
        raise BadFolder(f"{file} names a program, {config['model_file']!r}; code of a folder is never run")
    inner = config.get("text_config")
    merged = {**(inner if isinstance(inner, dict) else {}), **config}
    for key in _SIZES:
        value = merged.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise BadFolder(f"{file}: {key} must be a whole number above 0, is {_shown(value)}")
    _check_shapes(file, merged, tensors)
    _check_quantisation(file, merged)
    lengths = [merged[key] for key in _LENGTHS if merged.get(key) is not None]
    generation = folder / "generation_config.json"
    generation_config = _json(generation) if generation.is_file() else {}
    if generation_config.get("do_sample") is not True:
        generation_config = {}
    return ModelInfo(
        folder,
        lengths[0] if lengths else DEFAULT_CONTEXT,
        _number(generation, generation_config, "temperature", 1.0 if generation_config else 0.0),
        _number(generation, generation_config, "top_p", 1.0),
        int(_number(generation, generation_config, "top_k", 0)),
        weight_bytes(folder),
    )


def _check_tokenizer(folder: Path) -> None:
    """Raises BadFolder without a tokenizer or a chat template."""
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise BadFolder(f"{folder} holds no tokenizer.json; copy the model's tokenizer into it")
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file():
        _json(tokenizer)
    settings = folder / "tokenizer_config.json"
    told = _json(settings) if settings.is_file() else {}
    if not any((folder / name).exists() for name in _TEMPLATES) and not any(told.get(key) for key in _TEMPLATE_KEYS):
        raise BadFolder(f"{folder} has no chat template; use the folder of a chat model (often named …-Instruct)")


def _check_shapes(file: Path, config: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]]) -> None:
    """Raises BadFolder if the weights are those of another model: mlx-lm builds all that the config asks for first."""
    layers = {int(match[1]) for name in tensors if (match := _LAYER.search(name))}
    wanted = config.get("num_hidden_layers")
    if layers and wanted is not None and wanted > max(layers) + 1:
        raise BadFolder(f"{file} asks for {wanted} layers, the weights have {max(layers) + 1}; they are of two models")
    for name in _EMBEDDINGS:
        size, words = tensors.get(name, (0,))[0], config.get("vocab_size")
        if size and words is not None and size != words:
            raise BadFolder(f"{file} asks for a vocabulary of {words}, the weights have {size}; they are of two models")


def _check_quantisation(file: Path, config: Mapping[str, Any]) -> None:
    """Raises BadFolder for weights in a form that mlx-lm cannot read."""
    own, foreign = config.get("quantization"), config.get("quantization_config")
    if own is not None:
        if not isinstance(own, dict):
            raise BadFolder(f"{file}: quantization must be an object, is {_shown(own)}")
        mode, bits, group = own.get("mode", "affine"), own.get("bits"), own.get("group_size")
        if mode not in ("affine", *OTHER_MODES):
            raise BadFolder(f"{file}: quantization.mode {_shown(mode)} is none of affine, {', '.join(OTHER_MODES)}")
        if mode == "affine" and (bits not in AFFINE_BITS or group not in AFFINE_GROUPS):
            allowed = f"{', '.join(map(str, AFFINE_BITS))} bits in groups of {', '.join(map(str, AFFINE_GROUPS))}"
            raise BadFolder(
                f"{file}: a quantization of {_shown(bits)} bits in groups of {_shown(group)} is not supported; "
                f"there are {allowed}; convert the model anew with `mlx_lm.convert`"
            )
    elif foreign is not None:
        method = foreign.get("quant_method") if isinstance(foreign, dict) else foreign
        if method not in FOREIGN_METHODS:
            raise BadFolder(
                f"{file}: weights quantised by {_shown(method)} are not supported; take the model unquantised, "
                "and convert it with `mlx_lm.convert`"
            )


def _number(file: Path, values: Mapping[str, Any], key: str, default: float) -> float:
    value = values.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**31:
        raise BadFolder(f"{file}: {key} must be a number of at least 0, is {_shown(value)}")
    return float(value) or default


def _shown(value: Any) -> str:
    return json.dumps(value)[:60]


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
