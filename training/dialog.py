"""A training dialog: messages, tool definitions, and the answer that `mlx-tiny` learns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]


@dataclass
class Dialog:
    """A conversation that ends with an assistant turn; `thought` is the reasoning before that turn."""

    messages: list[Message] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    format: dict[str, Any] | None = None
    facts: dict[str, str] = field(default_factory=dict)
    thought: str = ""

    def ask(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})

    def answer(self, text: str, thought: str) -> None:
        self.messages.append({"role": "assistant", "content": text})
        self.thought = thought

    def call(self, calls: list[tuple[str, dict[str, Any]]]) -> None:
        made = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in calls]
        self.messages.append({"role": "assistant", "content": "", "tool_calls": made})
        self.thought = f"I call {calls[0][0]}."
