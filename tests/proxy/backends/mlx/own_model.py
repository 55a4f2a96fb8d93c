"""Makes the folder of a small model of a real architecture, with random weights and a tokenizer of its own."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>")

ROLES = """
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
    {%- for tool_call in message.tool_calls or [] %}
        {%- set tool_call = tool_call.function %}
        {{- '<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}
        {{- tool_call.arguments | tojson + '}\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""

TOOLS = """
{%- if tools %}
    {{- '<|im_start|>system\\nFor each function call, return a json object within <tool_call></tool_call> tags:\\n' }}
    {{- '<tool_call>\\n{"name": <function-name>, "arguments": <args-json-object>}\\n</tool_call>\\n' }}
    {%- for tool in tools %}{{ tool | tojson + '\\n' }}{% endfor %}{{ '<|im_end|>\\n' }}
{%- endif %}
"""

THINKS_IF_TOLD = (
    ROLES
    + """
{%- if add_generation_prompt and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}
"""
)

THINKS_ALWAYS = ROLES + "{%- if add_generation_prompt %}{{ '<think>\\n' }}{% endif %}"

SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
}

OWN_KEYS: dict[str, dict[str, Any]] = {
    "llama": {"architectures": ["LlamaForCausalLM"]},
    "qwen2": {"architectures": ["Qwen2ForCausalLM"]},
    "qwen3": {"architectures": ["Qwen3ForCausalLM"], "head_dim": 16},
}
"""The keys of each architecture's config beside SHAPE."""


def make_model(folder: Path, kind: str = "qwen3", template: str = TOOLS + ROLES, bits: int | None = None) -> Path:
    """Writes the model's folder as one of the model hub looks, with quantised weights if `bits` are given."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten

    folder.mkdir(parents=True, exist_ok=True)
    size = _write_tokenizer(folder, template)
    config: dict[str, Any] = {"model_type": kind, "vocab_size": size, "eos_token_id": 2, **SHAPE, **OWN_KEYS[kind]}
    module: Any = import_module(f"mlx_lm.models.{kind}")
    mx.random.seed(7)
    model = module.Model(module.ModelArgs.from_dict(config))
    if bits is not None:
        config["quantization"] = {"group_size": 32, "bits": bits}
        nn.quantize(model, 32, bits)
    weights: Any = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _write_tokenizer(folder: Path, template: str) -> int:
    """Writes a byte-level BPE tokenizer, like Qwen's, and returns the size of its vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(MARKS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["What is the weather in Oslo? The weather is rain and wind."] * 3, trainer)
    tokenizer.add_special_tokens([AddedToken(mark, special=mark.startswith("<|"), normalized=False) for mark in MARKS])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "chat_template": template,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer.get_vocab_size()
