"""Logits processor of a request: penalties for repeated tokens, and a mask of the tokens that a grammar allows.

It is called once per token, inside the step of a whole batch, and must never raise: a fault is kept for the engine.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, TypeAlias

import mlx.core as mx
import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from msgspec import Struct

State: TypeAlias = Literal["start", "thinking", "waiting", "constrained", "ending", "unconstrained"]
"""Output state: before the first token, in thinking, before the trigger, in the grammar, at the end, unconstrained."""


class GrammarRule(Struct, frozen=True):
    """A grammar and the point from which it constrains the output.

    That is the first token, or the token `trigger`, with which the grammar begins. Without a trigger, a model that
    `may_think` may start with `think_open`; with `in_thinking` the grammar applies after `think_close`, before which
    the output may not end. With a trigger, output is unconstrained until the next one, or must end if `once`.
    """

    grammar: str
    tokenizer: LLTokenizer
    vocabulary: int
    end_tokens: frozenset[int]
    trigger: int | None = None
    think_open: int | None = None
    think_close: int | None = None
    in_thinking: bool = False
    may_think: bool = False
    once: bool = False


class RequestLogitsProcessor:
    """The logits processor of one request; `fault` is set if its grammar failed."""

    def __init__(self, rule: GrammarRule | None, frequency: float = 0.0, presence: float = 0.0) -> None:
        self.fault: str | None = None
        self._rule = rule
        self._frequency, self._presence = frequency, presence
        self._counts: Counter[int] = Counter()
        self._has_begun = False
        self._matcher: LLMatcher | None = None
        self._state: State = "unconstrained" if rule is None else "start" if rule.trigger is None else "waiting"
        if rule is not None and rule.trigger is None and rule.in_thinking:
            self._state = "thinking"
        if rule is not None:
            self._mask = allocate_token_bitmask(1, rule.vocabulary)

    def __call__(self, tokens: Any, logits: Any) -> Any:
        """Returns new logits; `tokens` has shape (positions,), `logits` (1, vocabulary)."""
        try:
            if self._has_begun:
                self._advance(int(tokens[-1].item()))
            self._has_begun = True
            return self._masked(self._penalised(logits))
        except Exception as fault:  # an exception would end every request of the batch
            self.fault = f"{type(fault).__name__}: {fault}"
            self._state = "unconstrained"
            return logits

    def _advance(self, token: int) -> None:
        """Updates counts and state with the last token."""
        self._counts[token] += 1
        rule = self._rule
        if rule is None:
            return
        match self._state:
            case "start" if rule.may_think and token == rule.think_open:
                self._state = "thinking"
            case "thinking" if token == rule.think_close:
                self._state = "start"
            case "start" | "constrained":
                self._consume(token, rule)
            case "waiting" if token == rule.trigger:
                self._matcher = None
                self._consume(token, rule)
            case _:
                pass

    def _consume(self, token: int, rule: GrammarRule) -> None:
        if token in rule.end_tokens:
            self._state = "unconstrained"
            return
        if self._matcher is None:
            self._matcher = LLMatcher(rule.tokenizer, rule.grammar)
        if not self._matcher.consume_token(token):
            self.fault = self._matcher.get_error() or f"token {token} does not fit the grammar"
            self._state = "unconstrained"
            return
        self._state = "constrained"
        if rule.trigger is not None and self._matcher.is_accepting():
            self._state = "ending" if rule.once else "waiting"

    def _penalised(self, logits: Any) -> Any:
        """Makes earlier tokens less likely: "Positive values penalize new tokens based on their existing frequency".

        https://platform.openai.com/docs/api-reference/chat/create#chat_create-frequency_penalty
        """
        if not self._counts or not (self._frequency or self._presence):
            return logits
        penalties = mx.array([self._frequency * count + self._presence for count in self._counts.values()])
        return logits.at[:, mx.array(list(self._counts))].subtract(penalties.astype(logits.dtype))

    def _masked(self, logits: Any) -> Any:
        """Sets the logits of tokens that the state forbids to -inf."""
        rule = self._rule
        if rule is None or self._state in ("unconstrained", "waiting"):
            return logits
        width = logits.shape[-1]
        allowed = np.zeros(width, bool)
        if self._state == "thinking":
            allowed[:] = True
            allowed[list(rule.end_tokens)] = False
        elif self._state == "ending":
            allowed[list(rule.end_tokens)] = True
        else:
            if self._matcher is None:
                self._matcher = LLMatcher(rule.tokenizer, rule.grammar)
            fill_next_token_bitmask(self._matcher, self._mask)
            bits = np.unpackbits(self._mask.view(np.uint8).reshape(-1), bitorder="little")[:width]
            allowed[: len(bits)] = bits
            if self._matcher.is_accepting():
                allowed[list(rule.end_tokens)] = True
            if rule.may_think and rule.think_open is not None and not self._counts:
                allowed[rule.think_open] = True
        if not allowed.any():
            self.fault = self._matcher.get_error() if self._matcher else "the grammar allows no token"
            self.fault = self.fault or "the grammar allows no token"
            return logits
        return mx.where(mx.array(allowed)[None], logits, -mx.inf)
