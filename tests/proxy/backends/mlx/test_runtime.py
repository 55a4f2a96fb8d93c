"""The private functions of mlx-lm that are used exist with these parameters, and prompts are rendered correctly."""

from __future__ import annotations

import inspect
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.backends.mlx.model_folder import TINY, read_folder
from crosswire.proxy.backends.mlx.request import MlxRequest

from . import local_model  # noqa: F401 - skips where the extra is not installed

SIGNATURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "load": ("mlx_lm", ("path_or_hf_repo", "tokenizer_config")),
    "batch_generate": ("mlx_lm", ("model", "tokenizer", "prompts", "max_tokens", "return_token_ids")),
    "BatchGenerator": (
        "mlx_lm.generate",
        ("model", "stop_tokens", "completion_batch_size", "prefill_batch_size", "prefill_step_size"),
    ),
    "BatchGenerator.insert": (
        "mlx_lm.generate",
        ("prompts", "max_tokens", "caches", "all_tokens", "samplers", "logits_processors"),
    ),
    "BatchGenerator.next": ("mlx_lm.generate", ("self",)),
    "BatchGenerator.remove": ("mlx_lm.generate", ("uids",)),
    "BatchGenerator.close": ("mlx_lm.generate", ("self",)),
    "GenerationBatch.Response": (
        "mlx_lm.generate",
        ("uid", "token", "finish_reason", "prompt_cache", "all_tokens"),
    ),
    "KVCache": ("mlx_lm.models.cache", ()),
    "can_trim_prompt_cache": ("mlx_lm.models.cache", ("cache",)),
    "trim_prompt_cache": ("mlx_lm.models.cache", ("cache", "num_tokens")),
    "TokenizerWrapper.apply_chat_template": ("mlx_lm.tokenizer_utils", ("tokenize", "kwargs")),
}


@pytest.mark.parametrize(("name", "signature"), SIGNATURES.items(), ids=list(SIGNATURES))
def test_mlx_lm_has_the_signatures_in_use(name: str, signature: tuple[str, tuple[str, ...]]) -> None:
    module, parameters = signature
    found: Any = __import__(module, fromlist=["_"])
    for part in name.split("."):
        found = getattr(found, part)
    assert set(parameters) <= set(inspect.signature(found).parameters)


TOKENIZER_PROPERTIES = (
    *("detokenizer", "eos_token_ids", "has_chat_template", "think_start", "think_end", "think_start_tokens"),
    *("think_end_tokens", "tool_call_start", "tool_call_end", "tool_call_start_tokens", "tool_call_end_tokens"),
)


def runtime(folder: Path = TINY) -> Any:
    from crosswire.proxy.backends.mlx.runtime import Runtime

    return Runtime(read_folder(folder), batch=4, prefill=32, cache_bytes=1 << 20)


def test_the_tokenizer_has_the_properties_in_use() -> None:
    assert [name for name in TOKENIZER_PROPERTIES if not hasattr(runtime()._tokenizer, name)] == []


PROMPTS: dict[str, tuple[dict[str, Any], str]] = {
    "a question": ({}, "<|user|>Hi<|end|><|assistant|>"),
    "with thinking": ({"thinking": True}, "<|user|>Hi<|end|><|assistant|><think>"),
    "a schema": (
        {"format": {"properties": {"a": {"type": "string"}, "b": {}}}},
        "<|format|>a: string, b: any<|end|><|user|>Hi<|end|><|assistant|>",
    ),
    "tools": (
        {
            "tools": [{"type": "function", "function": {"name": "f", "description": "Does.", "parameters": {}}}],
            "calls": "auto",
            "callable": ["f"],
        },
        "<|tools|>f(): Does.\n<|end|><|user|>Hi<|end|><|assistant|>",
    ),
}


@pytest.mark.parametrize(("keys", "prompt"), PROMPTS.values(), ids=list(PROMPTS))
def test_prompts(keys: dict[str, Any], prompt: str) -> None:
    assert runtime().prompt(MlxRequest("m", [{"role": "user", "content": "Hi"}], **keys)) == prompt


TEMPLATES = {
    "one that fails": ("{{ raise_exception('never') }}", "chat template fails: never"),
    "invalid": ("{% if %}", "chat template fails"),
}


@pytest.mark.parametrize(("template", "what"), TEMPLATES.values(), ids=list(TEMPLATES))
def test_a_model_that_cannot_chat_is_not_loaded(template: str, what: str, tmp_path: Path) -> None:
    from crosswire.proxy.backends.mlx.runtime import ModelLoadError

    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(ModelLoadError, match=what):
        runtime(folder)


def test_nothing_is_downloaded_and_no_code_of_a_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    ran = tmp_path / "ran"
    (folder / "modeling.py").write_text(f"open({str(ran)!r}, 'w')")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace("{", '{"auto_map": {"AutoTokenizer": ["modeling.T", null]},', 1))
    runtime(folder)
    assert not ran.exists()
