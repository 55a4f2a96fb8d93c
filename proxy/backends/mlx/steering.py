"""What becomes of the logits before a token is drawn: penalties for what was said, and a grammar that allows no other.

It is called once a token, inside a whole batch's step: it must never raise, so a fault is kept for the engine to find.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, TypeAlias

import mlx.core as mx
import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from msgspec import Struct

State: TypeAlias = Literal["first", "thinks", "waits", "bound", "ends", "free"]


class Rule(Struct, frozen=True):
    """A grammar and when it binds: from the first token, or from `trigger` on, which is its first.

    Bound from the first token, a model that `may_think` may open with `think_open`; what is in thinking when it begins
    waits for `think_close`, and may not end before it. With `once` nothing may follow; else, after `trigger`, all is
    free until the next one.
    """

    grammar: str
    tokenizer: LLTokenizer
    vocabulary: int
    ends: frozenset[int]
    trigger: int | None = None
    think_open: int | None = None
    think_close: int | None = None
    thinks: bool = False
    may_think: bool = False
    once: bool = False


class Steering:
    """The logits processor of one request; `fault` is set where its grammar broke."""

    def __init__(self, rule: Rule | None, frequency: float = 0.0, presence: float = 0.0) -> None:
        self.fault: str | None = None
        self._rule = rule
        self._frequency, self._presence = frequency, presence
        self._said: Counter[int] = Counter()
        self._started = False
        self._matcher: LLMatcher | None = None
        self._state: State = "free" if rule is None else "first" if rule.trigger is None else "waits"
        if rule is not None and rule.trigger is None and rule.thinks:
            self._state = "thinks"
        if rule is not None:
            self._mask = allocate_token_bitmask(1, rule.vocabulary)

    def __call__(self, tokens: Any, logits: Any) -> Any:
        """(places,) tokens so far and (1, vocabulary) logits to logits."""
        try:
            if self._started:
                self._hear(int(tokens[-1].item()))
            self._started = True
            return self._bound(self._penalised(logits))
        except Exception as fault:  # a raised one would end every request of the batch
            self.fault = f"{type(fault).__name__}: {fault}"
            self._state = "free"
            return logits

    def _hear(self, token: int) -> None:
        self._said[token] += 1
        rule = self._rule
        if rule is None:
            return
        match self._state:
            case "first" if rule.may_think and token == rule.think_open:
                self._state = "thinks"
            case "thinks" if token == rule.think_close:
                self._state = "first"
            case "first" | "bound":
                self._consume(token, rule)
            case "waits" if token == rule.trigger:
                self._matcher = None
                self._consume(token, rule)
            case _:
                pass

    def _consume(self, token: int, rule: Rule) -> None:
        if token in rule.ends:
            self._state = "free"
            return
        if self._matcher is None:
            self._matcher = LLMatcher(rule.tokenizer, rule.grammar)
        if not self._matcher.consume_token(token):
            self.fault = self._matcher.get_error() or f"token {token} does not fit the grammar"
            self._state = "free"
            return
        self._state = "bound"
        if rule.trigger is not None and self._matcher.is_accepting():
            self._state = "ends" if rule.once else "waits"

    def _penalised(self, logits: Any) -> Any:
        """What was said before is less likely: "Positive values penalize new tokens based on their existing frequency".

        https://platform.openai.com/docs/api-reference/chat/create#chat_create-frequency_penalty
        """
        if not self._said or not (self._frequency or self._presence):
            return logits
        each = mx.array([self._frequency * count + self._presence for count in self._said.values()])
        return logits.at[:, mx.array(list(self._said))].subtract(each.astype(logits.dtype))

    def _bound(self, logits: Any) -> Any:
        rule = self._rule
        if rule is None or self._state in ("free", "waits"):
            return logits
        width = logits.shape[-1]
        allowed = np.zeros(width, bool)
        if self._state == "thinks":
            allowed[:] = True
            allowed[list(rule.ends)] = False
        elif self._state == "ends":
            allowed[list(rule.ends)] = True
        else:
            if self._matcher is None:
                self._matcher = LLMatcher(rule.tokenizer, rule.grammar)
            fill_next_token_bitmask(self._matcher, self._mask)
            bits = np.unpackbits(self._mask.view(np.uint8).reshape(-1), bitorder="little")[:width]
            allowed[: len(bits)] = bits
            if self._matcher.is_accepting():
                allowed[list(rule.ends)] = True
            if rule.may_think and rule.think_open is not None and not self._said:
                allowed[rule.think_open] = True
        if not allowed.any():
            self.fault = self._matcher.get_error() if self._matcher else "the grammar allows no token"
            self.fault = self.fault or "the grammar allows no token"
            return logits
        return mx.where(mx.array(allowed)[None], logits, -mx.inf)
