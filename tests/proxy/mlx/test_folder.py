"""A folder that holds no model is told so, with what to do, before any library looks for it elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from proxy.backends.mlx.folder import TINY, BadFolder, Model, read_folder


def test_the_shipped_model_is_small_and_whole() -> None:
    model = read_folder(TINY)
    assert (model.context, model.temperature) == (2048, 0.0)
    assert sum(file.stat().st_size for file in TINY.iterdir()) < 1_000_000


BROKEN = {
    "config.json": ("holds no config.json", None),
    "model.safetensors": (r"holds no model\*.safetensors", None),
    "tokenizer.json": ("holds no tokenizer.json", None),
    "config.json not JSON": ("is not JSON", "{"),
    "config.json no object": ("holds no JSON object", "[]"),
    "config.json of no model": ("names no model_type", "{}"),
}


@pytest.mark.parametrize(("what", "text"), BROKEN.values(), ids=list(BROKEN))
def test_what_is_missing_is_named(what: str, text: str | None, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    file = folder / request.node.callspec.id.split()[0]
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(BadFolder, match=what):
        read_folder(folder)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="nothing is ever downloaded"):
        read_folder(tmp_path / "org" / "model")


HOW: dict[str, tuple[dict[str, object], tuple[float, float, int]]] = {
    "sampled": ({"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20}, (0.6, 0.95, 20)),
    "sampled, nothing more said": ({"do_sample": True}, (1.0, 1.0, 0)),
    "greedy": ({"temperature": 0.6}, (0.0, 1.0, 0)),
}


@pytest.mark.parametrize(("said", "found"), HOW.values(), ids=list(HOW))
def test_the_models_own_sampling_is_the_default(
    said: dict[str, object], found: tuple[float, float, int], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "generation_config.json").write_text(json.dumps(said))
    assert read_folder(folder) == Model(folder, 2048, *found)
