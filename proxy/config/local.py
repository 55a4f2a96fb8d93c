"""The local model of a backend of protocol mlx: that its folder is one, and that what runs it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

import yaml

from ..backends.mlx.folder import BadFolder, folder_of, read_folder
from ..backends.mlx.speech import EXTRA
from ..backends.mlx.speech import NAME as LOCAL
from .nodes import Reader


def text_of_folder(reader: Reader, node: yaml.Node, path: str) -> str | None:
    """The folder as it is written."""
    return reader.text(node, path)


def check_local(
    reader: Reader, found: Mapping[str, yaml.Node], path: str, protocol: str, folder: str, line: int
) -> None:
    """Complain of what would keep this model from being loaded, and of keys that are not this kind of backend's."""
    if protocol != LOCAL:
        if "folder" in found:
            reader.complain(found["folder"], f"{path}.folder", f"is of a local model; only protocol {LOCAL} has one")
        return
    for key in ("base_url", "api_key", "headers", "betas"):
        if key in found:
            reader.complain(found[key], f"{path}.{key}", "means nothing to a model in this process; remove it")
    if any(find_spec(name) is None for name in EXTRA):
        what = f"{LOCAL} needs the extra `local`: pip install 'crosswire[local]'"
        reader.complain(found.get("protocol", line), f"{path}.protocol", what)
    try:
        read_folder(folder_of(folder))
    except BadFolder as fault:
        reader.complain(found.get("folder", line), f"{path}.folder", str(fault))
