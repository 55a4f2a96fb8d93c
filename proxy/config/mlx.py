"""Checks of a backend of protocol mlx: the model folder is valid and the runtime is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

import yaml

from ..backends.mlx.bad_folder import BadFolder
from ..backends.mlx.memory import MIB
from ..backends.mlx.model_folder import folder_of, read_folder
from ..backends.mlx.spec import EXTRA
from ..backends.mlx.spec import NAME as LOCAL
from .yaml_reader import ConfigReader


def read_folder_text(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    """Returns the folder as written."""
    return reader.text(node, path)


def read_load(reader: ConfigReader, node: yaml.Node, path: str) -> Literal["lazy", "start"] | None:
    """Returns when a local model is loaded."""
    loads: tuple[Literal["lazy", "start"], ...] = ("lazy", "start")
    return reader.choice(node, path, loads)


def check_local_model(
    reader: ConfigReader,
    found: Mapping[str, yaml.Node],
    path: str,
    protocol: str,
    folder: str,
    limits: Mapping[str, float],
    line: int,
) -> None:
    """Reports errors that would prevent loading the model, and keys that do not apply to this kind of backend."""
    if protocol != LOCAL:
        for key in ("folder", "load"):
            if key in found:
                what = f"applies to local models only (protocol {LOCAL}); remove it"
                reader.complain(found[key], f"{path}.{key}", what)
        return
    for key in ("base_url", "api_key", "headers", "betas"):
        if key in found:
            reader.complain(found[key], f"{path}.{key}", "does not apply to a model in this process; remove it")
    if any(find_spec(name) is None for name in EXTRA):
        what = f"{LOCAL} needs the extra `local`: pip install 'crosswire[local]'"
        reader.complain(found.get("protocol", line), f"{path}.protocol", what)
    try:
        model = read_folder(folder_of(folder))
    except BadFolder as fault:
        reader.complain(found.get("folder", line), f"{path}.folder", str(fault))
        return
    bound = limits.get("memory_mb", 0)
    if 0 < bound < model.nbytes / MIB:
        what = f"is {bound:g}, and the weights in {model.folder} have {model.nbytes / MIB:.1f} MB; raise it"
        reader.complain(found.get("limits", line), f"{path}.limits.memory_mb", what)
