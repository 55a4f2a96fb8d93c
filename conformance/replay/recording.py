"""A recorded exchange as a file holds it, one JSON object a case.

It knows the form of the files, and of the wires no more than what tells a conversation from something else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec import Struct

CHAT_PATHS: dict[str, tuple[str, ...]] = {
    "openai-chat": ("/chat/completions",),
    "openai-responses": ("/responses",),
    "anthropic": ("/messages",),
    "gemini": (":generateContent", ":streamGenerateContent"),
    "ollama": ("/api/chat",),
}
"""How the path of a conversation ends; whatever else a provider serves is no business of the protocols."""

ANSWERS: dict[str, tuple[str, ...]] = {
    "openai-chat": ("choices", "error"),
    "openai-responses": ("output", "error"),
    "anthropic": ("content", "error"),
    "gemini": ("candidates", "promptFeedback", "usageMetadata", "error"),
    "ollama": ("message", "error"),
}
"""Every whole answer of a conversation has one of these keys; where no request was kept, there is no more to go by."""

KEYS = ("protocol", "capability", "path", "status")


class NotARecording(Exception):
    """A file of the folder is not of the recorded form."""


class Recording(Struct, frozen=True, kw_only=True):
    """One exchange. `reply` is the body or the whole stream in bytes; `request` None where only the answer was kept.

    `array` says that the stream is one JSON array, as Gemini's is without `alt=sse`.
    """

    file: str
    protocol: str
    capability: str
    model: str
    path: str
    request: dict[str, Any] | None
    status: int
    headers: dict[str, str]
    reply: bytes
    streamed: bool
    array: bool = False

    @property
    def skipped(self) -> str | None:
        """Why this exchange is no case, or None."""
        path = self.path.partition("?")[0]
        if self.protocol not in CHAT_PATHS:
            return f"no protocol of ours: {self.protocol}"
        if not path.endswith(CHAT_PATHS[self.protocol]):
            return f"no chat: {path.rpartition(':')[2] if ':' in path else '/'.join(path.split('/')[-2:])}"
        if self.request is None and not self.streamed and not self._answers:
            return "no chat: an answer of another kind, and no request"
        return None

    @property
    def _answers(self) -> bool:
        body = json.loads(self.reply)
        return not isinstance(body, dict) or any(key in body for key in ANSWERS[self.protocol])


def find(folder: Path) -> list[Path]:
    """The files of a folder of recordings, in order."""
    return sorted(folder.rglob("*.json"))


def read(file: Path, folder: Path) -> Recording:
    """The exchange in a file; raises NotARecording."""
    name = file.relative_to(folder).as_posix()
    try:
        value = json.loads(file.read_bytes())
    except ValueError as fault:
        raise NotARecording(f"{name}: not JSON: {fault}") from None
    missing = [key for key in KEYS if not isinstance(value, dict) or value.get(key) is None]
    if missing:
        raise NotARecording(f"{name}: lacks {', '.join(missing)}")
    streamed = value.get("response_sse") is not None
    body = value.get("response")
    # a stream that its recorder kept as parsed JSON was one array
    array = not streamed and isinstance(body, list) and value["status"] < 300
    return Recording(
        file=name,
        protocol=value["protocol"],
        capability=_capability(value["capability"], streamed or array or bool(value.get("stream"))),
        model=value.get("model") or "model",
        path=value["path"],
        request=value.get("request"),
        status=value["status"],
        headers={key.lower(): text for key, text in (value.get("response_headers") or {}).items()},
        reply=value["response_sse"].encode() if streamed else json.dumps(body).encode(),
        streamed=streamed or array,
        array=array,
    )


def _capability(name: str, streamed: bool) -> str:
    return f"{name}-stream" if streamed and not name.endswith("-stream") else name
