"""Rules of the providers as records: what the vendor says, where it says so, the check, and the error of a breach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeGuard

from msgspec import Struct

from ..scenarios.provider import Provider
from .reply_context import Failure

LENIENT = "ignores_unknown"
"""Habit of compatible hosts that accept what the protocol's owner refuses by name: unknown fields, and model rules."""

GENERATE: tuple[str, ...] = ("generate",)
TOKENS: tuple[str, ...] = ("generate", "count")
EVERYWHERE: tuple[str, ...] = ("generate", "count", "models")
"""Endpoints of a rule, as `endpoint_of` names them."""

MONTH = "2026-11"
TODAY = "2026-11-30"
"""Dates on which sources were read: in the month in which the table was written, or on its last day."""


class Asked(Struct, frozen=True, kw_only=True):
    """A request as the rules see it; the names of `headers` are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Any
    provider: Provider
    endpoint: str

    @property
    def model(self) -> str:
        """The model that the body names, or an empty string."""
        value = self.body.get("model") if isinstance(self.body, dict) else None
        return value if isinstance(value, str) else ""


Breach: TypeAlias = dict[str, Any]
"""The values for the placeholders of a rule's `message` and `param`."""

Check: TypeAlias = Callable[[Asked], Iterator[Breach]]


class Rule(Struct, frozen=True, kw_only=True):
    """One reason for which a provider refuses a request.

    - `id`: the rule's name, unique within its protocol.
    - `says`: the vendor's words, or the fact that the source shows.
    - `source`, `checked`: the URL, and when it was read.
    - `check`: yields the values of each breach; it may rely on the rules before it.
    - `message`, `param`, `code`, `status`, `kind`: the error, in the vendor's own shape, with placeholders.
    - `own_words`: whether the wording of the message is the mock's, because the vendor's is not known.
    - `strict`: whether hosts that ignore unknown fields do without the rule.
    - `on`: the endpoints whose requests are checked.
    """

    id: str
    says: str
    source: str
    check: Check
    message: str
    checked: str = MONTH
    param: str | None = None
    code: str | None = None
    status: int = 400
    kind: str = "bad_request"
    own_words: bool = False
    strict: bool = False
    on: tuple[str, ...] = GENERATE

    def failure(self, breach: Breach) -> Failure:
        """Returns the error of a breach."""
        code, param = (text and text.format_map(breach) for text in (self.code, self.param))
        return Failure(self.status, self.kind, self.message.format_map(breach), code, param or None)


class Refusal(Struct, frozen=True):
    """The rule that a request breaks, and the error."""

    rule: Rule
    failure: Failure


def first_refusal(rules: tuple[Rule, ...], asked: Asked) -> Refusal | None:
    """Returns the first rule that a request breaks; the order of the rules is that of the service's checks."""
    lenient = LENIENT in asked.provider.habits
    for rule in rules:
        if asked.endpoint in rule.on and not (lenient and rule.strict):
            for breach in rule.check(asked):
                return Refusal(rule, rule.failure(breach))
    return None


def range_rules(
    id: str, bounds: tuple[tuple[str, float, float | None], ...], *, says: str, source: str, message: str, code: str
) -> tuple[Rule, Rule]:
    """Returns the rules `id-low` and `id-high` for fields with bounds: name, least and most, None for no bound.

    The placeholders of the message are `name`, `value`, `bound`, `sign` (`>=` or `<=`) and `side` (`below minimum` or
    `above maximum`); that of the code is `side` (`below_min` or `above_max`).
    """

    def low(asked: Asked) -> Iterator[Breach]:
        for name, least, _ in bounds:
            value = asked.body.get(name)
            if is_number(value) and value < least:
                yield {"name": name, "value": value, "bound": least, "sign": ">=", "side": "below minimum"}

    def high(asked: Asked) -> Iterator[Breach]:
        for name, _, most in bounds:
            value = asked.body.get(name)
            if most is not None and is_number(value) and value > most:
                yield {"name": name, "value": value, "bound": most, "sign": "<=", "side": "above maximum"}

    def rule(side: str, check: Check, word: str) -> Rule:
        return Rule(
            id=f"{id}-{side}",
            says=says,
            source=source,
            check=check,
            message=message,
            param="{name}",
            code=code.format(side=word),
        )

    return rule("low", low, "below_min"), rule("high", high, "above_max")


def is_number(value: Any) -> TypeGuard[float]:
    """Returns whether a JSON value is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
