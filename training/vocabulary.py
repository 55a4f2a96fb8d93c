"""The tokenizer of `mlx-tiny`: bytes, special tokens for turns and marks, and merges learned from the dialogs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|end|>"
ASSISTANT = "<|assistant|>"
MARKS = (
    *(END, "<|system|>", "<|user|>", ASSISTANT, "<|tool|>", "<|tools|>", "<|format|>"),
    *("<think>", "</think>", "<tool_call>", "</tool_call>"),
)
SIZE = 384


def build(texts: Iterable[str]) -> Tokenizer:
    """Trains a byte-level BPE tokenizer of SIZE tokens.

    Characters that are no letters are separate tokens, so that a word has the same tokens after a space and after a
    quote: the model has to copy words between these contexts.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[^\p{L}]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=list(MARKS), initial_alphabet=alphabet, show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    # only turn tokens are special, so that decoding keeps the other marks, which the output parser needs
    tokenizer.add_special_tokens([AddedToken(mark, special=mark.startswith("<|"), normalized=False) for mark in MARKS])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, length: int) -> None:
    """Writes the tokenizer's files to the model folder; `length` is the context in tokens."""
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": END,
        "model_max_length": length,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
