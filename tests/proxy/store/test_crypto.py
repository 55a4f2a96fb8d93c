"""Tests of the encryption of secrets and of reading master keys."""

from __future__ import annotations

import base64
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.errors import StoreError
from crosswire.proxy.store.crypto import KeyRing, TamperedError, key_file, new_key, read_keys, write_keys
from crosswire.proxy.store.snapshot import Credential, mask_key

from .sample_store import SECRET, text_of

KEYS = st.binary(min_size=32, max_size=32)


@given(KEYS, st.text(max_size=80), st.lists(st.none() | st.text(max_size=10), max_size=4))
def test_property_decryption_needs_the_same_binding(key: bytes, secret: str, place: list[str | None]) -> None:
    ring = KeyRing([key], b"salt")
    sealed = ring.encrypt(secret, "credentials", place)
    assert ring.decrypt(sealed, ring.current, "credentials", place) == secret
    for purpose, other in (("another", place), ("credentials", [*place, None]), ("credentials", [*place, ""])):
        with pytest.raises(TamperedError):
            ring.decrypt(sealed, ring.current, purpose, other)
    assert ring.encrypt(secret, "credentials", place) != sealed  # never one nonce twice


@given(KEYS, st.text(min_size=1, max_size=30), st.data())
def test_property_any_changed_byte_is_detected(key: bytes, secret: str, data: st.DataObject) -> None:
    ring = KeyRing([key], b"salt")
    sealed = bytearray(ring.encrypt(secret, "credentials", ("row",)))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TamperedError):
        ring.decrypt(bytes(sealed), ring.current, "credentials", ("row",))


def test_decryption_needs_the_same_salt_and_key() -> None:
    key = new_key()
    sealed = KeyRing([key], b"one").encrypt("x", "p", ())
    with pytest.raises(TamperedError):
        KeyRing([key], b"two").decrypt(sealed, KeyRing([key], b"two").current, "p", ())
    with pytest.raises(KeyError):
        KeyRing([new_key()], b"one").decrypt(sealed, KeyRing([key], b"one").current, "p", ())
    assert text_of(key) not in repr(KeyRing([key], b"one"))


@pytest.mark.parametrize(
    "shape",
    [
        lambda key: base64.b64encode(key).decode(),
        lambda key: base64.urlsafe_b64encode(key).decode().rstrip("="),
        lambda key: key.hex(),
        lambda key: f" {key.hex().upper()} ",
    ],
)
def test_formats_of_the_master_key(shape: Callable[[bytes], str], tmp_path: Path) -> None:
    key, old = new_key(), new_key()
    assert read_keys({"CROSSWIRE_MASTER_KEY": f"{shape(key)},{text_of(old)}"}, tmp_path / "k") == [key, old]


def test_the_key_file(tmp_path: Path) -> None:
    file = tmp_path / "crosswire.key"
    assert read_keys({}, file) == []
    keys = [new_key(), new_key()]
    write_keys(file, keys)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_keys({}, file) == keys
    assert read_keys({"CROSSWIRE_MASTER_KEY_FILE": str(file)}, tmp_path / "x") == keys
    assert key_file({"CROSSWIRE_MASTER_KEY": "x"}, file) is None


@pytest.mark.parametrize(
    ("env", "content", "mode", "says"),
    [
        ({"CROSSWIRE_MASTER_KEY": "hunter2-secret"}, None, 0o600, "is not a master key of 32 bytes"),
        ({"CROSSWIRE_MASTER_KEY": "A" * 44}, None, 0o600, "openssl rand -base64 32"),
        ({}, "hunter2-secret\n", 0o600, "is not a master key"),
        ({}, "\n", 0o600, "is empty"),
        ({}, "é", 0o600, "not ASCII"),
        ({}, text_of(b"k" * 32), 0o640, "chmod 600"),
        ({"CROSSWIRE_MASTER_KEY_FILE": "/nowhere/at/all"}, None, 0o600, "does not exist"),
    ],
)
def test_invalid_master_keys(env: dict[str, str], content: str | None, mode: int, says: str, tmp_path: Path) -> None:
    file = tmp_path / "crosswire.key"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(StoreError, match=says) as caught:
        read_keys(env, file)
    assert "hunter2" not in str(caught.value)


def test_a_key_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written: No such file"):
        write_keys(tmp_path / "no" / "folder", [new_key()])


@pytest.mark.parametrize(("key", "shown"), [("x" * 19, "…"), ("", "…"), (SECRET, "…6789")])
def test_mask_key(key: str, shown: str) -> None:
    assert mask_key(key) == shown
    assert key == "" or key not in repr(Credential(id="1", provider="p", name="n", key=key))
