"""A folder without a usable model is an error that says what to do, before any library tries to download it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from crosswire.proxy.backends.mlx.model_folder import TINY, BadFolder, ModelInfo, read_folder


def test_the_bundled_model_is_small_and_complete() -> None:
    model = read_folder(TINY)
    assert (model.context, model.temperature) == (2048, 0.0)
    assert sum(file.stat().st_size for file in TINY.iterdir()) < 1_000_000


BROKEN = {
    "config.json": ("holds no config.json", None),
    "model.safetensors": (r"holds no model\*.safetensors", None),
    "tokenizer.json": ("holds no tokenizer.json", None),
    "config.json not JSON": ("is not JSON", "{"),
    "config.json no object": ("holds no JSON object", "[]"),
    "config.json of no model": ("has no model_type", "{}"),
}


@pytest.mark.parametrize(("message", "text"), BROKEN.values(), ids=list(BROKEN))
def test_the_error_names_what_is_missing(
    message: str, text: str | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    file = folder / request.node.callspec.id.split()[0]
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(BadFolder, match=message):
        read_folder(folder)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="models are never downloaded"):
        read_folder(tmp_path / "org" / "model")


GENERATION_CONFIGS: dict[str, tuple[dict[str, object], tuple[float, float, int]]] = {
    "sampled": ({"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20}, (0.6, 0.95, 20)),
    "sampled, no parameters": ({"do_sample": True}, (1.0, 1.0, 0)),
    "greedy": ({"temperature": 0.6}, (0.0, 1.0, 0)),
}


@pytest.mark.parametrize(("generation_config", "found"), GENERATION_CONFIGS.values(), ids=list(GENERATION_CONFIGS))
def test_the_models_own_sampling_is_the_default(
    generation_config: dict[str, object], found: tuple[float, float, int], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "generation_config.json").write_text(json.dumps(generation_config))
    assert read_folder(folder) == ModelInfo(folder, 2048, *found)
