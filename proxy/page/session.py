"""Sessions of the operator's page: signed tokens for a cookie, a second token against forged requests, and log-ins.

A session is signed with a key made of the admin key and of this run of the proxy, which its workers share: a new admin
key or a restart ends every session.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from hmac import compare_digest

COOKIE = "crosswire_session"

LASTS_S = 12 * 3600
"""Seconds for which a session lasts."""

TRIES = 10
"""Wrong keys of one address within TRIES_S after which it has to wait."""

TRIES_S = 60.0

_ADDRESSES = 1000
"""Addresses whose wrong keys are remembered."""

_ENDED = 10_000
"""Sessions that are remembered as logged out."""


class Sessions:
    """Makes and checks the sessions of one proxy; `clock` gives unix seconds."""

    def __init__(
        self, instance: str, clock: Callable[[], float], tell: Callable[[str, str], None] = lambda what, value: None
    ) -> None:
        """`tell` is called with what the other workers of the proxy must learn."""
        self._tell = tell
        self._instance = instance
        self._clock = clock
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    # ---- log in ------------------------------------------------------------------------------------------------------

    def wait_s(self, address: str) -> float:
        """Seconds for which this address must wait before it may try a key."""
        recent = [when for when in self._wrong.get(address, ()) if self._clock() - when < TRIES_S]
        return recent[-TRIES] + TRIES_S - self._clock() if len(recent) >= TRIES else 0.0

    def log_in(self, given: str, admin_key: str, address: str) -> str | None:
        """A new session for whoever gives the admin key; else None, and the address is one wrong key further."""
        if compare_digest(given.encode(errors="surrogatepass"), admin_key.encode()):
            self._wrong.pop(address, None)
            ends = int(self._clock() + LASTS_S)
            stem = f"{ends}.{secrets.token_urlsafe(18)}"
            return f"{stem}.{self._sign(admin_key, 'session', stem)}"
        self.learn("wrong", address)
        self._tell("wrong", address)
        return None

    def learn(self, what: str, value: str) -> None:
        """Takes note that an address gave a `wrong` key, or that a session has `ended`, here or at another worker."""
        if what == "wrong":
            self._wrong[value] = [*self._wrong.pop(value, [])[1 - TRIES :], self._clock()]
            while len(self._wrong) > _ADDRESSES:
                self._wrong.popitem(last=False)
        else:
            self._ended[value] = None
            while len(self._ended) > _ENDED:
                self._ended.popitem(last=False)

    # ---- check -------------------------------------------------------------------------------------------------------

    def is_valid(self, token: str, admin_key: str) -> bool:
        """Returns whether this is a session that was made here and has not ended."""
        stem, _, signature = token.rpartition(".")
        if not compare_digest(signature.encode(), self._sign(admin_key, "session", stem).encode()):
            return False
        return int(stem.partition(".")[0]) > self._clock() and stem not in self._ended

    def page_token(self, token: str, admin_key: str) -> str:
        """The token that the page of this session sends with all that acts, and no other page can know."""
        return self._sign(admin_key, "page", token)

    def is_page_token(self, given: str, token: str, admin_key: str) -> bool:
        """Returns whether this is the second token of the session."""
        return compare_digest(given.encode(errors="surrogatepass"), self.page_token(token, admin_key).encode())

    def end(self, token: str) -> None:
        """Ends a session, whatever cookie is sent later."""
        stem = token.rpartition(".")[0]
        self.learn("ended", stem)
        self._tell("ended", stem)

    def _sign(self, admin_key: str, purpose: str, text: str) -> str:
        key = blake2b(admin_key.encode(), key=self._instance.encode()[:64], digest_size=32).digest()
        return blake2b(f"{purpose}:{text}".encode(errors="surrogatepass"), key=key, digest_size=24).hexdigest()
