"""Facts that replicas share by the state's server: kept there by kind and key, or told to all by a stream of hints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from .connection import StateFault
from .memory import MemoryFacts
from .session import Session
from .waiting import Waiting

log = logging.getLogger("crosswire")


class SharedFacts:
    """The facts of one replica, which keeps those that it put itself. `root` is the beginning of every key."""

    def __init__(self, session: Session, root: str, now: Callable[[], float]) -> None:
        self._session = session
        self._root = root
        self._now = now
        self._own_facts = MemoryFacts(now)
        self._heard: dict[str, Callable[[str, str, float], None]] = {}

    def put(self, kind: str, key: str, value: str, ttl_s: float) -> None:
        """Keeps a fact here at once, and at the server soon."""
        self._own_facts.put(kind, key, value, ttl_s)
        if self._session.is_up:
            call = ("SET", self._fact(kind, key), value, "PX", str(max(1, round(ttl_s * 1000))))
            self._session.send(Waiting(lambda: call, self._now()))

    async def get(self, kind: str, key: str) -> str | None:
        """The fact as the server has it, or as it is known here where the server does not answer in time."""
        if not self._session.is_up:
            return self.known(kind, key)
        try:
            found = await self._session.ask(("GET", self._fact(kind, key)))
        except StateFault:
            return self.known(kind, key)
        return None if found is None else str(found, "utf-8", "replace")

    def known(self, kind: str, key: str) -> str | None:
        """The fact as this replica knows it."""
        return self._own_facts.known(kind, key)

    def tell(self, kind: str, key: str, value: str, ttl_s: float) -> None:
        """Tells a fact to every other replica."""
        session = self._session
        if session.is_up:
            told = (kind, key, value, str(round(ttl_s * 1000)))
            session.send(Waiting(lambda: ("tell", session.time(), session.name, *told), self._now()))

    def listen(self, kind: str, heard: Callable[[str, str, float], None]) -> None:
        """Calls this for each fact of the kind that another replica told."""
        self._heard[kind] = heard

    def hear(self, hints: Sequence[Any], now_us: int) -> None:
        """Hands on what other replicas told, as far as it still holds."""
        session = self._session
        for id_, fields in hints:
            session.last_hint = id_.decode()
            words = [each.decode("utf-8", "replace") for each in fields]
            told = dict(zip(words[::2], words[1::2], strict=False))
            age_ms = now_us / 1000 - int(session.last_hint.partition("-")[0])
            left = (int(told.get("ttl", "0")) - max(0.0, age_ms)) / 1000
            heard = self._heard.get(told.get("kind", ""))
            if heard is None or left <= 0 or told.get("by", "").startswith(session.own):
                continue
            try:
                heard(told.get("key", ""), told.get("value", ""), left)
            except Exception:
                log.exception("a hint of another replica could not be used")

    def _fact(self, kind: str, key: str) -> str:
        return f"{self._root}:f:{kind}:{key}"
