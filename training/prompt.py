"""Renders a dialog to the model's prompt text with the chat template of the model folder."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

from .dialog import Dialog

TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def _environment() -> ImmutableSandboxedEnvironment:
    # as transformers renders templates: https://huggingface.co/docs/transformers/chat_templating_writing
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = ValueError
    return environment


_TEMPLATE = _environment().from_string(TEMPLATE.read_text("utf-8"))


def rendered(dialog: Dialog, dice: Random | None = None) -> str:
    """Renders the whole dialog; with `dice`, the last answer sometimes begins with its thought."""
    messages: list[dict[str, Any]] = dialog.messages
    thinks = dice is not None and dice.random() < 0.12
    parts = {"tools": dialog.tools, "response_format": dialog.format}
    text: str = _TEMPLATE.render(messages=messages, **parts)
    if thinks:
        head, mark, last = text.rpartition("<|assistant|>")
        text = f"{head}{mark}<think>{dialog.thought}</think>{last}"
    return text
