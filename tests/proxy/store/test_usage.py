"""Usage, audit and clients in both databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import delete, update

from crosswire.proxy.errors import StoreError
from crosswire.proxy.observability.usage_log import COLUMNS
from crosswire.proxy.store import audit, clients, usage
from crosswire.proxy.store.crypto import new_key
from crosswire.proxy.store.database import Store
from crosswire.proxy.store.rotation import rotate
from crosswire.proxy.store.schema import AUDIT, USAGE

from .sample_store import text_of

DAY = 86400
NOON = 1_796_040_000.0 - 1_796_040_000.0 % DAY + DAY / 2


def row(at: float, client: str | None, **values: Any) -> tuple[Any, ...]:
    found: dict[str, Any] = dict.fromkeys(COLUMNS)
    found |= {"at": at, "request_id": "r", "client": client, "tags": ",a,b,", "frontend": "f", "operation": "chat"}
    found |= {"stream": False, "outcome": "answered", "attempts": 1, "losses": "", "total_ms": 1.5, **values}
    return tuple(found.values())


async def test_sums_by_any_column(store: Store) -> None:
    rows = [
        row(NOON, "ada", model="m", input=10, output=5, cost=7),
        row(NOON + DAY, "ada", model="m", input=1, output=1, cost=3, cache_read=4),
        row(NOON, "bob", model="n", outcome="rate_limit"),
        row(NOON, "bob", model="n", input=2, output=2),
        row(NOON - 9 * DAY, "ada", model="m", cost=10**17),
    ]
    async with store.appending() as connection:
        await usage.append(connection, COLUMNS, rows)
    async with store.reading() as connection:
        by_client = await usage.sums(connection, ["client"], NOON - DAY)
        assert [(each["client"], each["requests"], each["failed"], each["cost"]) for each in by_client] == [
            ("ada", 2, 0, 10),
            ("bob", 2, 1, 0),
        ]
        assert [(each["input"], each["cache_read"], each["unpriced"]) for each in by_client] == [(11, 4, 0), (2, 0, 1)]
        by_day = await usage.sums(connection, ["client", "day"], NOON - DAY, NOON + DAY)
        assert {(each["client"], each["day"]) for each in by_day} == {("ada", NOON // DAY), ("bob", NOON // DAY)}
        whole = await usage.sums(connection, ["client"], 0)
        assert whole[0]["cost"] == 10**17 + 10, "sums are exact"
        found = await usage.spent(connection, NOON - DAY, NOON + 2 * DAY)
        assert [(each.client, each.tags, each.cost) for each in found] == [
            ("ada", ("a", "b"), 7),
            ("ada", ("a", "b"), 3),
        ]
        assert all(each.at <= at < each.at + usage.SLOT_S for each, at in zip(found, (NOON, NOON + DAY), strict=True))
    async with store.appending() as connection:
        assert await usage.prune(connection, NOON - DAY) == 1


async def test_rows_of_usage_leave_the_change_counter_alone(store: Store) -> None:
    async with store.writing() as connection:
        await connection.execute(delete(USAGE))
    before = await store.revision()
    async with store.appending() as connection:
        await usage.append(connection, COLUMNS, [row(NOON, None)])
    assert await store.revision() == before


async def test_clients_of_stored_responses(store: Store) -> None:
    async with store.appending() as connection:
        await usage.remember_responses(connection, [("resp_1", "ada", "b"), ("resp_2", "bob", "b")])
        await usage.remember_responses(connection, [("resp_1", "bob", "b"), ("resp_3", None, "c")])
    async with store.appending() as connection:
        found = [await usage.find_response(connection, id_) for id_ in ("resp_1", "resp_2", "resp_3", "resp_4")]
        assert found == [("ada", "b"), ("bob", "b"), (None, "c"), None], "the first owner stays"
        await usage.prune_responses(connection, 1e12)
        assert await usage.find_response(connection, "resp_1") is None


@pytest.mark.parametrize("change", [update(AUDIT).values(actor="nobody"), delete(AUDIT)], ids=["update", "delete"])
async def test_the_audit_is_append_only(store: Store, change: Any) -> None:
    entry = {"actor": "ada", "origin": "here", "action": "clients add", "subject": "client bob", "detail": "added"}
    async with store.writing() as connection:
        await audit.append(connection, **entry)
    with pytest.raises(StoreError, match="append-only"):
        async with store.writing() as connection:
            await connection.execute(change)
    async with store.reading() as connection:
        (found,) = await audit.list_latest(connection, 0, 10)
        assert {name: getattr(found, name) for name in entry} == entry
        assert await audit.list_latest(connection, found.at + 1, 10) == []


async def test_clients_outlive_a_rotation_of_the_master_key(
    store: Store, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_key = b"k" * 32
    async with store.writing() as connection:
        ring = await store.ring(connection)
        assert ring is not None
        await clients.make_hash_key(connection, ring, hash_key)
        assert await clients.add(connection, "ada", b"d" * 32, "{}")
        assert not await clients.add(connection, "ada", b"e" * 32, "{}")
    new: Mapping[str, str] = {"CROSSWIRE_MASTER_KEY": f"{text_of(new_key())},{env['CROSSWIRE_MASTER_KEY']}"}
    env.update(new)
    await rotate(store, env)
    env["CROSSWIRE_MASTER_KEY"] = env["CROSSWIRE_MASTER_KEY"].partition(",")[0]
    snapshot = await store.snapshot()
    assert (snapshot.hash_key, snapshot.errors) == (hash_key, ())
    assert snapshot.clients[0].digest == b"d" * 32
    env["CROSSWIRE_MASTER_KEY"] = text_of(new_key())
    (error,) = (await store.snapshot()).errors
    assert "not configured" in error, "a proxy that could not know its clients must not start"


async def test_a_former_key_holds_as_long_as_it_is_given(store: Store) -> None:
    async with store.writing() as connection:
        await clients.add(connection, "ada", b"1" * 32, "{}")
        assert await clients.replace_key(connection, "ada", b"2" * 32, 100.0)
        (found,) = await clients.list_all(connection)
        assert (found.digest, found.former, found.former_ends) == (b"2" * 32, b"1" * 32, 100.0)
        assert await clients.replace_key(connection, "ada", b"3" * 32, None)
        (found,) = await clients.list_all(connection)
        assert (found.digest, found.former) == (b"3" * 32, None)
        assert not await clients.replace_key(connection, "eve", b"3" * 32, None)
        assert await clients.enable(connection, "ada", False)
        assert await clients.remove(connection, "ada")
        assert not await clients.remove(connection, "ada")
