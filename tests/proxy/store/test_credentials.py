"""Tests of stored credentials: keys are encrypted, masked, never logged, and changed rows are detected."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sqlalchemy import text

from crosswire.proxy.store import credentials
from crosswire.proxy.store.crypto import new_key, write_keys
from crosswire.proxy.store.database import Store

from .sample_store import OTHER, SECRET, add_credential, execute, folder_bytes, text_of


async def test_keys_are_encrypted_and_masked(store: Store, tmp_path: Path) -> None:
    await add_credential(store, "anthropic", SECRET)
    async with store.reading() as connection:
        rows = (await connection.execute(text("SELECT * FROM credentials"))).all()
        (listed,) = await credentials.list_all(connection, await store.ring(connection))
    snapshot = await store.snapshot()
    for shown in (repr(rows), repr(listed), repr(snapshot), str(snapshot.credentials[0]), repr(store)):
        assert SECRET not in shown
    assert SECRET.encode() not in folder_bytes(tmp_path)
    assert listed.shown == "…6789"


TAMPERED: dict[str, tuple[str, ...]] = {
    "swapped": (
        "UPDATE credentials SET sealed = (SELECT c.sealed FROM credentials c WHERE c.provider = 'groq')"
        " WHERE provider = 'openai'",
    ),
    "of another provider": ("UPDATE credentials SET provider = 'evil' WHERE provider = 'openai'",),
    "sent elsewhere": ("UPDATE credentials SET base_url = 'https://evil.example' WHERE provider = 'openai'",),
    "copied to another row": ("UPDATE credentials SET id = 'x' WHERE provider = 'openai'",),
}


@pytest.mark.parametrize("statements", TAMPERED.values(), ids=list(TAMPERED))
async def test_a_tampered_row_is_detected(store: Store, statements: tuple[str, ...]) -> None:
    await add_credential(store, "openai", SECRET)
    await add_credential(store, "groq", OTHER)
    for statement in statements:
        await execute(store, statement)
    found = await store.snapshot()
    assert [entry.provider for entry in found.credentials] == ["groq"]
    (error,) = found.errors
    assert "was changed in the database; add it again" in error
    assert SECRET not in error


@pytest.mark.parametrize("left", [0, 1, 12, 28, 40])
async def test_a_truncated_row_is_detected(store: Store, left: int) -> None:
    await add_credential(store, "openai", SECRET)
    async with store.reading() as connection:
        sealed = (await connection.execute(text("SELECT sealed FROM credentials"))).scalar_one()
    await execute(store, "UPDATE credentials SET sealed = :sealed", sealed=bytes(sealed[:left]))
    found = await store.snapshot()
    assert found.credentials == ()
    assert "changed in the database" in found.errors[0]


async def test_without_the_master_key_nothing_is_decrypted(store: Store, url: str, tmp_path: Path) -> None:
    await add_credential(store, "openai", SECRET)
    for env in ({"CROSSWIRE_MASTER_KEY": text_of(new_key())}, {"CROSSWIRE_MASTER_KEY_FILE": str(tmp_path / "other")}):
        if "CROSSWIRE_MASTER_KEY_FILE" in env:
            write_keys(tmp_path / "other", [new_key()])
        blind = Store(url, env)
        found = await blind.snapshot()
        assert found.credentials == ()
        assert "which is not configured; set CROSSWIRE_MASTER_KEY" in found.errors[0]
        await blind.close()


async def test_keys_are_not_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await add_credential(store, "openai", SECRET)
        await store.snapshot()
    assert SECRET not in caplog.text
