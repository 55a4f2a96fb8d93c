"""Decodes and encodes the log probabilities of an answer's tokens, which a candidate has beside its content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir import TokenLogprob
from .fields import take_list

FIELD = "logprobsResult"


def tokens_in(result: Any) -> tuple[TokenLogprob, ...]:
    """Decodes a `logprobsResult`; a field that is left out is zero or empty, as in any JSON of protocol buffers.

    "chosenCandidates: Length = total number of decoding steps. topCandidates: Length = total number of decoding steps."
    https://ai.google.dev/api/generate-content#LogprobsResult
    """
    if type(result) is not dict:
        return ()
    chosen, tops = (
        [step for step in take_list(dict(result), key) if type(step) is dict]
        for key in ("chosenCandidates", "topCandidates")
    )
    tops += [{}] * (len(chosen) - len(tops))
    return tuple(
        _token_in(step, tuple(_token_in(top) for top in take_list(dict(likeliest), "candidates") if type(top) is dict))
        for step, likeliest in zip(chosen, tops, strict=False)
    )


def _token_in(step: dict[str, Any], top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
    token, logprob = step.get("token"), step.get("logProbability")
    return TokenLogprob(
        token if type(token) is str else "", logprob if isinstance(logprob, float | int) else 0.0, None, top
    )


def tokens_out(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Returns a `logprobsResult`."""
    result: dict[str, Any] = {"chosenCandidates": [_token_out(token) for token in tokens]}
    if any(token.top for token in tokens):
        result["topCandidates"] = [{"candidates": [_token_out(top) for top in token.top]} for token in tokens]
    return result


def _token_out(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logProbability": token.logprob}
