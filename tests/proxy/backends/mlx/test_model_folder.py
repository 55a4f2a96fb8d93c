"""A folder without a usable model is an error that says what to do, before any library tries to download it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from crosswire.proxy.backends.mlx.bad_folder import BadFolder
from crosswire.proxy.backends.mlx.model_folder import TINY, ModelInfo, read_folder


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
    "chat_template.jinja": ("has no chat template", None),
    "tokenizer.json cut off": ("tokenizer.json is not JSON", '{"version": '),
    "model.safetensors not fetched": ("is a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\n"),
    "model.safetensors of another format": ("is not a file of safetensors", "PK" * 40),
    "model.safetensors empty": ("is not a file of safetensors", ""),
    "model.safetensors.index.json that names more": (
        "lacks model-00002",
        '{"weight_map": {"a": "model-00002.safetensors"}}',
    ),
    "model.safetensors.index.json without a map": ("has no weight_map", "{}"),
    "generation_config.json of no numbers": ("temperature must be", '{"do_sample": true, "temperature": "warm"}'),
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


def test_weights_that_are_cut_off(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BadFolder, match="is cut off"):
        read_folder(folder)


WRONG_CONFIGS: dict[str, tuple[dict[str, object], str]] = {
    "layers of another model": ({"num_hidden_layers": 10**9}, "asks for 1000000000 layers, the weights have 3"),
    "a vocabulary of another model": ({"vocab_size": 10**9}, "vocabulary of 1000000000, the weights have"),
    "a size that is a text": ({"hidden_size": "64"}, 'hidden_size must be a whole number above 0, is "64"'),
    "no layers": ({"num_hidden_layers": 0}, "num_hidden_layers must be a whole number above 0, is 0"),
    "a length that is none": ({"max_position_embeddings": -1}, "max_position_embeddings must be a whole number"),
    "a program": ({"model_file": "model.py"}, "names a program, 'model.py'"),
    "7 bits": ({"quantization": {"bits": 7, "group_size": 64}}, "7 bits in groups of 64 is not supported"),
    "groups of 100": ({"quantization": {"bits": 4, "group_size": 100}}, "4 bits in groups of 100"),
    "an unknown mode": ({"quantization": {"mode": "nf4", "bits": 4, "group_size": 64}}, '"nf4" is none of affine'),
    "no quantisation at all": ({"quantization": 4}, "quantization must be an object"),
    "another library": ({"quantization_config": {"quant_method": "bitsandbytes"}}, '"bitsandbytes" are not supported'),
}


@pytest.mark.parametrize(("keys", "message"), WRONG_CONFIGS.values(), ids=list(WRONG_CONFIGS))
def test_a_config_that_does_not_fit_is_an_error(keys: dict[str, object], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **keys}))
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
    size = (TINY / "model.safetensors").stat().st_size
    assert read_folder(folder) == ModelInfo(folder, 2048, *found, size)
