"""Tokens (JWT) of an identity provider, as credentials of clients; the library is in the extra `jwt`."""

from __future__ import annotations

import json
import typing
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from ..errors import ConfigError, failure
from ..ir import Failure

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""The algorithms of a signature that can be checked with a public key; a shared secret is none."""

LEEWAY_S = 30
"""Seconds by which the clocks of two machines may differ."""

FETCH_S = 10
JWKS_LIMIT = 1024 * 1024
"""Bytes of a key set that are read."""


class TokenSettings(Struct, frozen=True, kw_only=True):
    """The rules for tokens: the address or file of the key set (JWKS), and what `aud` and `iss` must be."""

    jwks: str
    audience: str
    issuer: str | None = None
    algorithms: tuple[str, ...] = ("RS256", "ES256")


class TokenChecker(typing.Protocol):
    """Checks a token, and returns its claims."""

    def check(self, token: str, now: float) -> Mapping[str, Any] | Failure: ...


def looks_like_token(text: str) -> bool:
    """Returns whether the text has the three parts of a signed token."""
    return text.startswith("eyJ") and text.count(".") == 2


class JwtChecker:
    """Checks tokens with the keys that were read when the config was loaded."""

    def __init__(self, settings: TokenSettings, keys: Mapping[str, Any]) -> None:
        try:
            import jwt
        except ModuleNotFoundError:
            raise ConfigError(["jwt: needs PyJWT; install it with: pip install 'crosswire[jwt]'"]) from None
        self._jwt = jwt
        self._settings = settings
        self._set = dict(keys)
        try:
            self._keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(dict(keys)).keys}
        except (jwt.PyJWTError, TypeError, AttributeError) as fault:
            raise ConfigError([f"jwt.jwks: is no key set: {fault}"]) from None

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process makes the keys anew: those of the library cannot be copied."""
        return JwtChecker, (self._settings, self._set)

    def check(self, token: str, now: float) -> Mapping[str, Any] | Failure:
        """The claims of a token that is signed by one of the keys, for this audience, and valid at this time."""
        jwt, settings = self._jwt, self._settings
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                return failure("authentication", "The token is signed with a key that is not in the key set.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(settings.algorithms),
                audience=settings.audience,
                issuer=settings.issuer,
                # the times are compared below, with the proxy's own clock
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp", "aud"]},
            )
            if float(claims["exp"]) <= now - LEEWAY_S:
                return failure("authentication", "The token has expired.")
            if float(claims.get("nbf", 0)) > now + LEEWAY_S:
                return failure("authentication", "The token is not valid yet.")
        except (jwt.PyJWTError, TypeError, ValueError) as fault:
            return failure("authentication", f"The token is not valid: {type(fault).__name__}.")
        return claims


def read_key_set(where: str) -> dict[str, Any]:
    """Reads a key set from a file or an https address; raises ConfigError where there is none."""
    try:
        if "://" in where:
            with urllib.request.urlopen(where, timeout=FETCH_S) as answer:  # noqa: S310 - the config allows https alone
                raw = answer.read(JWKS_LIMIT)
        else:
            raw = Path(where).expanduser().read_bytes()[:JWKS_LIMIT]
        keys = json.loads(raw)
    except (OSError, ValueError) as fault:
        raise ConfigError([f"jwt.jwks: {where} cannot be read: {fault}"]) from None
    if type(keys) is not dict or type(keys.get("keys")) is not list:
        raise ConfigError([f"jwt.jwks: {where} is no key set; it must be an object with a list `keys`"])
    return keys
