"""Reads recorded exchanges from files, one JSON object per case, and recognizes those that are not chats."""

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
"""Protocol -> path endings of its chat endpoints."""

REPLY_KEYS: dict[str, tuple[str, ...]] = {
    "openai-chat": ("choices", "error"),
    "openai-responses": ("output", "error"),
    "anthropic": ("content", "error"),
    "gemini": ("candidates", "promptFeedback", "usageMetadata", "error"),
    "ollama": ("message", "error"),
}
"""Protocol -> keys of which every unary chat reply has one; identifies replies without a recorded request."""

KEYS = ("protocol", "capability", "path", "status")


class NotARecording(Exception):
    """A file does not have the form of a recording; the message says why."""


class Recording(Struct, frozen=True, kw_only=True):
    """One recorded exchange.

    `reply` is the body or the complete stream; `request` is None if only the reply was kept. `array` marks a stream
    that is one JSON array, as Gemini's is without `alt=sse`. `host` is empty where it is not known.
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
    host: str = ""
    request_headers: dict[str, str] = {}

    @property
    def skipped(self) -> str | None:
        """The reason why this exchange is not replayed, or None."""
        path = self.path.partition("?")[0]
        if self.protocol not in CHAT_PATHS:
            return f"unknown protocol: {self.protocol}"
        if not path.endswith(CHAT_PATHS[self.protocol]):
            return f"not a chat: {path.rpartition(':')[2] if ':' in path else '/'.join(path.split('/')[-2:])}"
        if self.request is None and not self.streamed and not self._is_chat_reply:
            return "not a chat: a reply of another kind without its request"
        return None

    @property
    def _is_chat_reply(self) -> bool:
        body = json.loads(self.reply)
        return not isinstance(body, dict) or any(key in body for key in REPLY_KEYS[self.protocol])


def find_recordings(folder: Path) -> list[Path]:
    """Returns the recording files of a folder and its subfolders, sorted."""
    return sorted(folder.rglob("*.json"))


def read_recording(file: Path, folder: Path) -> Recording:
    """Reads the exchange in a file; raises NotARecording."""
    name = file.relative_to(folder).as_posix()
    try:
        value = json.loads(file.read_bytes())
    except ValueError as fault:
        raise NotARecording(f"{name}: not JSON: {fault}") from None
    missing = [key for key in KEYS if not isinstance(value, dict) or value.get(key) is None]
    if missing:
        raise NotARecording(f"{name}: missing keys: {', '.join(missing)}")
    streamed = value.get("response_sse") is not None
    body = value.get("response")
    # a stream that was recorded as parsed JSON is one array
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
        host=value.get("host") or "",
        request_headers={key.lower(): str(text) for key, text in (value.get("request_headers") or {}).items()},
    )


def _capability(name: str, streamed: bool) -> str:
    return f"{name}-stream" if streamed and not name.endswith("-stream") else name
