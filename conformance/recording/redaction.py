"""Replaces ids, keys and e-mail addresses in recorded texts, each by the same word wherever it occurs."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

PATTERNS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("e-mail", re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"), "someone-{n}@example.com"),
    (
        "key",
        re.compile(
            r"\b(?:sk|rk|pk|gsk|xai|hf|cw|r8|nvapi)[-_][A-Za-z0-9_-]{12,}|\bAIza[A-Za-z0-9_-]{20,}|\bAKIA[A-Z0-9]{12,}"
            r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bxox[abeoprs]-[A-Za-z0-9-]{10,}"
            r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
            r"|(?<=Bearer )[A-Za-z0-9._~+/=-]{8,}"
            r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----"
        ),
        "KEY-{n}",
    ),
    (
        "id",
        re.compile(
            r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b|\b[0-9a-fA-F]{24,}\b"
            r"|\b(?:call|toolu|msg|resp|req|chatcmpl|user|org|proj|acct|cus|file|thread|run|asst|fc|rs)[-_][A-Za-z0-9]{8,}\b"
            r"|\b(?=[A-Za-z_-]*[0-9])(?=[a-z0-9_-]*[A-Z])[A-Za-z0-9_-]{32,}\b"
        ),
        "ID-{n}",
    ),
)  # fmt: skip
"""Kind, pattern and replacement of what is taken out of texts, in this order."""

SHOWN = 6
"""Characters of a value that are shown of it."""


class Redaction(Struct):
    """One value that was replaced, and how often."""

    kind: str
    value: str
    replacement: str
    times: int = 0

    def __str__(self) -> str:
        shown = self.value if self.kind == "e-mail" else f"{self.value[:SHOWN]}…"
        return f"{self.kind:7} {shown:32} → {self.replacement}  ({self.times}×)"


class Redactor:
    """Replaces what identifies somebody, and remembers what it replaced."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Redaction] = {}
        self._calls: dict[str, str] = {}
        self._call_count = 0

    @property
    def redactions(self) -> list[Redaction]:
        """The replaced values, in the order in which they were found."""
        return list(self._found.values())

    def text(self, text: str) -> str:
        """Returns a text without what identifies somebody."""
        for kind, pattern, replacement in PATTERNS:
            text = pattern.sub(lambda found, k=kind, r=replacement: self._replaced(k, found[0], r), text)  # type: ignore[misc]
        return text

    def value(self, value: Any) -> Any:
        """Returns a JSON value with its texts and the names in it redacted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(each) for name, each in value.items()}
        return [self.value(each) for each in value] if isinstance(value, list) else value

    def call_id(self, given: str) -> str:
        """Returns the id of a call in the story; the same for its result."""
        if given not in self._calls:
            self._calls[given] = self.new_call_id()
        return self._calls[given]

    def new_call_id(self) -> str:
        """Returns an id that no call has yet."""
        self._call_count += 1
        return f"call_{self._call_count}"

    def _replaced(self, kind: str, value: str, replacement: str) -> str:
        number = sum(each.kind == kind for each in self._found.values()) + 1
        found = self._found.setdefault((kind, value), Redaction(kind, value, replacement.format(n=number)))
        found.times += 1
        return found.replacement
