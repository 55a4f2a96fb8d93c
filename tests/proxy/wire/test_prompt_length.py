"""A prompt that is too long is the same failure in the words of any host."""

from __future__ import annotations

import json

import pytest

from crosswire.proxy.ir import Failure
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.wire.prompt_length import is_too_long

TOO_LONG = [
    "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens.",
    "Your input exceeds the context window of this model.",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    "Prompt contains 9000 tokens, too large for model with 4096 maximum context length",
    "Please reduce the length of the messages or completion.",
    "This model's maximum prompt length is 131072 but the request contains 150000 tokens.",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097.",
    "Input is too long for requested model.",
    "prompt too long; exceeded max context length by 34 tokens",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)",
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("sentence", TOO_LONG)
def test_a_prompt_that_is_too_long_is_known_in_the_words_of_any_host(sentence: str, protocol: str) -> None:
    def failure(status: int) -> Failure:
        return PROTOCOLS[protocol].decode_failure(status, json.dumps({"error": {"message": sentence}}).encode(), None)

    assert (failure(400).kind, failure(400).status) == ("context_length", 400)
    assert failure(429).kind == "rate_limit"


@pytest.mark.parametrize(
    ("message", "status"), [(None, 400), ("max_tokens must be at least 1", 400), (TOO_LONG[0], 401), (TOO_LONG[0], 500)]
)
def test_what_is_not_too_long(message: str | None, status: int) -> None:
    assert not is_too_long(message, status)
