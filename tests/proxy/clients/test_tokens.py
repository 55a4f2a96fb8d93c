"""Tokens of an identity provider: whose they are, and which are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt.algorithms import ECAlgorithm

from crosswire.proxy.errors import ConfigError

from ..proxy_fixture import config, one
from ..sample_messages import ask, path
from .test_clients import bearer, serving

NOW = 1_760_000_000
"""The clock of the stage."""

GOOD: dict[str, Any] = {"sub": "ada", "aud": "crosswire", "iss": "https://id.example.org", "exp": NOW + 60}
OURS, THEIRS = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())


def token(claims: dict[str, Any], *, key: Any = OURS, kid: str = "1", algorithm: str = "ES256") -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    public = json.loads(ECAlgorithm.to_jwk(OURS.public_key())) | {"kid": "1", "alg": "ES256"}
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [public]}))
    return {
        "jwt": {"jwks": str(file), "audience": "crosswire", "issuer": "https://id.example.org"},
        "clients": {
            "ada": {"claims": {"sub": "ada"}},
            "staff": {"claims": {"groups": "staff", "iss": "https://id.example.org"}},
            "gone": {"claims": {"sub": "gone"}, "enabled": False},
        },
    }


CASES: dict[str, tuple[str, str | int]] = {
    "a good one": (token(GOOD), "ada"),
    "a claim in a list": (token({**GOOD, "sub": "eve", "groups": ["all", "staff"]}), "staff"),
    "several audiences": (token({**GOOD, "aud": ["other", "crosswire"]}), "ada"),
    "clocks that differ a little": (token({**GOOD, "exp": NOW - 10, "nbf": NOW + 10}), "ada"),
    "nobody's": (token({**GOOD, "sub": "eve"}), 401),
    "of one who is disabled": (token({**GOOD, "sub": "gone"}), 401),
    "expired": (token({**GOOD, "exp": NOW - 60}), 401),
    "not valid yet": (token({**GOOD, "nbf": NOW + 60}), 401),
    "without an end": (token({key: value for key, value in GOOD.items() if key != "exp"}), 401),
    "for another audience": (token({**GOOD, "aud": "other"}), 401),
    "of another issuer": (token({**GOOD, "iss": "https://evil.example.org"}), 401),
    "signed by another key": (token(GOOD, key=THEIRS), 401),
    "with an unknown key id": (token(GOOD, kid="2"), 401),
    "without a signature": (token(GOOD, key=None, algorithm="none"), 401),
    "with a shared secret": (token(GOOD, key="x" * 32, algorithm="HS256"), 401),
    "cut": (token(GOOD)[:-4], 401),
    "no token": ("eyJ.eyJ.x", 401),
    "a time that is no number": (token({**GOOD, "nbf": None}), 401),
}


@pytest.mark.parametrize("case", CASES)
async def test_whose_a_token_is(case: str, settings: dict[str, Any]) -> None:
    given, expected = CASES[case]
    clients = settings.pop("clients")
    async with serving("openai-chat", clients, **settings) as (it, _):
        answer = await it.ask(path("openai-chat"), ask("openai-chat"), bearer(given))
        if isinstance(expected, int):
            assert answer.status == expected, answer
            assert given not in str(answer.body)
        else:
            assert answer.status == 200, answer
            record = it.gateway.records.get(answer.headers["x-request-id"])
            assert record is not None
            assert record.client == expected


@pytest.mark.parametrize(
    ("jwks", "words"),
    [
        ("/no/such/file", "cannot be read"),
        ("http://id.example.org/keys", "must be a file, or an address that begins with https://"),
        ("not json", "cannot be read"),
        ("{}", "is no key set"),
        ('{"keys": []}', "is no key set"),
    ],
)
def test_mistakes_in_the_key_set(jwks: str, words: str, settings: dict[str, Any], tmp_path: Path) -> None:
    if "/" not in jwks:
        (tmp_path / "broken").write_text(jwks)
        jwks = str(tmp_path / "broken")
    settings["jwt"]["jwks"] = jwks
    with pytest.raises(ConfigError, match=r"jwt\.jwks") as caught:
        config(one("openai-chat", "http://127.0.0.1:9"), **settings)
    assert words in str(caught.value)
