"""Tests of the rotation of the master key, also after an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from crosswire.proxy.errors import StoreError
from crosswire.proxy.store import credentials
from crosswire.proxy.store.crypto import KeyRing, new_key, read_keys, write_keys
from crosswire.proxy.store.database import Store
from crosswire.proxy.store.rotation import rotate

from .sample_store import SECRET, add_credential, execute, text_of


async def kept_by_file(url: str, tmp_path: Path) -> tuple[Store, dict[str, str], Path]:
    """A store with three credentials under a key of a file."""
    file = tmp_path / "master"
    write_keys(file, [new_key()])
    env = {"CROSSWIRE_MASTER_KEY_FILE": str(file)}
    store = Store(url, env)
    for provider in ("anthropic", "groq", "openai"):
        await add_credential(store, provider, f"{SECRET}-{provider}")
    return store, env, file


async def decrypted_keys(store: Store) -> dict[str, str]:
    return {entry.provider: entry.key for entry in (await store.snapshot()).credentials}


async def test_rotation_by_file(url: str, tmp_path: Path) -> None:
    store, env, file = await kept_by_file(url, tmp_path)
    before, (old,) = await decrypted_keys(store), read_keys(env, file)
    done = await rotate(store, env)
    (new,) = read_keys(env, file)
    assert (done.count, done.by_hand, new != old) == (3, False, True)
    assert await decrypted_keys(store) == before
    async with store.reading() as connection:
        masters = (await connection.execute(text("SELECT DISTINCT master FROM credentials"))).scalars().all()
    assert masters == [KeyRing([new], b"").current]
    await store.close()


@pytest.mark.parametrize("cut_after", [0, 1, 2, 3])
async def test_an_interrupted_rotation_can_continue(
    cut_after: int, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, env, file = await kept_by_file(url, tmp_path)
    before = await decrypted_keys(store)
    real, count = credentials.reencrypt, 0

    async def reencrypt(connection: AsyncConnection, ring: KeyRing, number: str) -> None:
        nonlocal count
        if count == cut_after:
            raise KeyboardInterrupt
        count += 1
        await real(connection, ring, number)

    with monkeypatch.context() as patch:
        patch.setattr(credentials, "reencrypt", reencrypt)
        if cut_after == 3:
            patch.setattr("crosswire.proxy.store.rotation.write_keys", write_before_the_end)
        # a cut between any two steps: what serves meanwhile opens everything
        with pytest.raises(KeyboardInterrupt):
            await rotate(store, env)
    assert await decrypted_keys(store) == before
    first = read_keys(env, file)[0]
    done = await rotate(store, env)
    assert done.count == 3 - cut_after
    assert read_keys(env, file) == [first]
    assert await decrypted_keys(store) == before
    await store.close()


def write_before_the_end(file: Path, keys: list[bytes]) -> None:
    if len(keys) == 1:
        raise KeyboardInterrupt
    write_keys(file, keys)


async def test_rotation_by_variable(url: str) -> None:
    old, new = new_key(), new_key()
    store = Store(url, {"CROSSWIRE_MASTER_KEY": text_of(old)})
    await add_credential(store, "openai", SECRET)
    with pytest.raises(StoreError, match="NEW,OLD"):
        await rotate(store, {"CROSSWIRE_MASTER_KEY": text_of(old)})
    await store.close()
    both = {"CROSSWIRE_MASTER_KEY": f"{text_of(new)},{text_of(old)}"}
    store = Store(url, both)
    done = await rotate(store, both)
    assert (done.count, done.by_hand) == (1, True)
    await store.close()
    store = Store(url, {"CROSSWIRE_MASTER_KEY": text_of(new)})
    assert await decrypted_keys(store) == {"openai": SECRET}
    await store.close()


async def test_rotation_stops_at_an_undecryptable_credential(url: str, tmp_path: Path) -> None:
    store, env, file = await kept_by_file(url, tmp_path)
    await execute(store, "UPDATE credentials SET base_url = 'https://evil.example' WHERE provider = 'groq'")
    with pytest.raises(StoreError, match="groq cannot be decrypted"):
        await rotate(store, env)
    assert len(read_keys(env, file)) == 2  # the old key stays while anything needs it
    async with store.writing() as connection:
        await credentials.remove(connection, "groq")
    await rotate(store, env)
    assert sorted(await decrypted_keys(store)) == ["anthropic", "openai"]
    await store.close()


async def test_nothing_to_rotate_without_a_key(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/s.db", {})
    with pytest.raises(StoreError, match="no master key yet"):
        await rotate(store, {})
    await store.close()
