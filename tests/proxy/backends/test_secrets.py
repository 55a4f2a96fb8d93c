"""Keys, addresses and headers of a backend's config are masked in texts."""

from __future__ import annotations

import pytest

from crosswire.proxy.backends.secrets import bearer, secrets_of
from crosswire.proxy.routing import BackendConfig

CASES: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    # key, spare keys, text, masked
    "a key": ("sk-0123456789", (), "bad key sk-0123456789x", "bad key ***x"),
    "a spare key": ("sk-0123456789", ("sk-9876543210",), "sk-9876543210: no credit", "***: no credit"),
    "a short key that stands alone": ("end", (), "The backend says: end.", "The backend says: ***."),
    "a short key within words": ("key", (), "its api_key, its api-key, keys", "its api_key, its api-key, keys"),
    "the address": ("sk-0123456789", (), "no route to models.example:8443", "no route to ***"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_masked(name: str) -> None:
    key, spare, text, masked = CASES[name]
    config = BackendConfig(
        name="b",
        protocol="openai-chat",
        base_url="https://models.example:8443/v1",
        api_key=key,
        spare_keys=spare,
    )
    assert secrets_of(config).sub("***", text) == masked


def test_a_long_header_of_the_config_is_masked_and_a_short_one_is_not() -> None:
    config = BackendConfig(
        name="b",
        protocol="openai-chat",
        base_url="http://127.0.0.1:1",
        headers={"x-tenant": "t1", "x-token": "0123456789"},
    )
    assert secrets_of(config).sub("***", "t1 0123456789") == "t1 ***"


def test_a_bearer_key() -> None:
    assert bearer("k") == {"authorization": "Bearer k"}
