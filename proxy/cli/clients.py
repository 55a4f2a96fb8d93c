"""The commands `crosswire clients`, `crosswire usage` and `crosswire audit`.

A client's key is made here, printed once, and kept as a keyed hash alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from ..clients.keys import digest, new_hash_key, new_key
from ..costs.price import dollars
from ..errors import StoreError
from ..store import audit, clients, usage
from ..store.database import Store
from .exit_codes import OK
from .store_access import (
    Load,
    change_store,
    group_parser,
    print_table,
    read_store,
    ring_of,
    store_parser,
    switch,
    switched,
    switches,
    verb_parser,
    yes,
)

LISTS = ("models", "backends", "frontends", "modes", "tags")
"""The arguments of a new client that are lists of names or patterns."""

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_BUDGET = re.compile(r"([0-9]+(?:\.[0-9]+)?)/(rolling-)?(day|week|month)")


def client_parsers(load: Load) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the three commands."""
    group, verbs = group_parser("clients", "who may use the proxy: keys in the store, and what each may do", load)
    one = verb_parser(verbs, "add", "add a client; its key is printed once", _add)
    one.add_argument("name", help="what it is called in records, usage and the config")
    one.add_argument("--models", nargs="+", metavar="PATTERN", help="models that it may use (default: all)")
    one.add_argument("--backends", nargs="+", metavar="PATTERN", help="backends that it may use (default: all)")
    one.add_argument("--frontends", nargs="+", metavar="PROTOCOL", help="protocols that it may speak (default: all)")
    one.add_argument("--modes", nargs="+", metavar="PATTERN", help="modes that it may choose (default: all)")
    one.add_argument("--tags", nargs="+", metavar="TAG", help="groups whose budgets it shares")
    one.add_argument("--no-pins", action="store_true", help="it may not pin a backend")
    one.add_argument("--expires", metavar="DATE", help="when its keys end, such as 2027-01-31")
    one.add_argument("--requests", metavar="RATE", help="limit of requests, such as 60/min")
    one.add_argument("--tokens", metavar="RATE", help="limit of tokens, such as 100000/min")
    one.add_argument("--concurrent", type=int, metavar="N", help="limit of requests under way")
    one.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="USD/PERIOD",
        help="budget of a day, week or month, such as 20/month or 5/rolling-day; may be given several times",
    )
    one.add_argument("--zone", metavar="ZONE", help="time zone of its budgets, such as Europe/Berlin (default: UTC)")
    verb_parser(verbs, "list", "show all, without keys", _list)
    for verb, what, run in switches("client", _remove, _enable):
        verb_parser(verbs, verb, what, run).add_argument("name", help="its name in the list")
    one = verb_parser(verbs, "rotate", "give a client another key, which is printed once", _rotate)
    one.add_argument("name", help="its name in the list")
    one.add_argument("--grace", metavar="TIME", help="how long the former key holds, such as 24h (default: not at all)")

    report = store_parser("usage", "what was used and what it cost, by client, model or day", load)
    report.add_argument("--by", default="client", metavar="COLUMNS", help=f"any of {', '.join(usage.GROUPS)}")
    report.add_argument("--since", default="7d", metavar="TIME", help="a time ago such as 12h, 7d, 4w, or a date")
    report.add_argument("--csv", action="store_true", help="print comma-separated values, costs in dollars")
    report.set_defaults(run=_usage)

    changes = store_parser("audit", "who changed the store, when and from where", load)
    changes.add_argument("--since", default="52w", metavar="TIME", help="a time ago such as 12h, 7d, 4w, or a date")
    changes.add_argument("--last", type=int, default=1000, metavar="N", help="how many changes at most")
    changes.set_defaults(run=_audit)
    return {"clients": group, "usage": report, "audit": changes}


# ---- clients ---------------------------------------------------------------------------------------------------------


def _add(args: argparse.Namespace) -> int:
    key, grants = new_key(), _grants(args)

    async def change(store: Store, connection: AsyncConnection) -> str:
        hash_key = await _hash_key(store, connection)
        if not await clients.add(connection, args.name, digest(key, hash_key), json.dumps(grants)):
            raise StoreError(f"the client {args.name} exists; give it another key with: crosswire clients rotate")
        return f"client {args.name}: added; its key is shown this once"

    return change_store(args, change, key)


def _grants(args: argparse.Namespace) -> dict[str, Any]:
    """The grants of a client that the arguments name, as the config has them."""
    grants: dict[str, Any] = {key: getattr(args, key) for key in LISTS if getattr(args, key)}
    if args.no_pins:
        grants["pins"] = False
    grants |= {key: value for key in ("expires", "requests", "tokens", "concurrent") if (value := getattr(args, key))}
    for text in args.budget:
        match = _BUDGET.fullmatch(text)
        if match is None:
            raise StoreError(f"--budget: {text!r} is no budget; write it as 20/month or 5/rolling-day")
        budget: dict[str, Any] = {"usd": float(match[1]), "per": match[3]}
        if match[2]:
            budget["rolling"] = True
        elif args.zone:
            budget["zone"] = args.zone
        grants.setdefault("budgets", []).append(budget)
    return grants


def _rotate(args: argparse.Namespace) -> int:
    key = new_key()
    ends = None if args.grace is None else time.time() + _seconds(args.grace, "--grace")

    async def change(store: Store, connection: AsyncConnection) -> str:
        hash_key = await _hash_key(store, connection)
        if not await clients.replace_key(connection, args.name, digest(key, hash_key), ends):
            raise StoreError(f"client {args.name} does not exist; `list` shows all")
        former = "" if ends is None else f"; the former holds for {args.grace}"
        return f"client {args.name}: has another key, which is shown this once{former}"

    return change_store(args, change, key)


async def _hash_key(store: Store, connection: AsyncConnection) -> bytes:
    """The key of the digests, made with the first client."""
    ring = await ring_of(store, connection)
    found = await clients.hash_key(connection, ring)
    if found is None:
        found = new_hash_key()
        await clients.make_hash_key(connection, ring, found)
    return found


def _list(args: argparse.Namespace) -> int:
    async def read(_: Store, connection: AsyncConnection) -> int:
        rows = [("NAME", "ENABLED", "GRANTS")]
        for each in await clients.list_all(connection):
            grants = each.grants if each.grants != "{}" else "all"
            rows.append((each.name, yes(each.enabled), grants))
        print_table(rows)
        return OK

    return read_store(args, read)


def _remove(args: argparse.Namespace) -> int:
    return switch(args, f"client {args.name}", "removed", lambda one: clients.remove(one, args.name))


def _enable(args: argparse.Namespace, enabled: bool) -> int:
    return switch(args, f"client {args.name}", switched(enabled), lambda one: clients.enable(one, args.name, enabled))


# ---- usage and audit -------------------------------------------------------------------------------------------------


def _usage(args: argparse.Namespace) -> int:
    by = [name for name in args.by.split(",") if name]
    for name in by:
        if name not in usage.GROUPS:
            raise StoreError(f"--by: {name!r} is no column; known: {', '.join(usage.GROUPS)}")
    since = _moment(args.since)

    async def read(_: Store, connection: AsyncConnection) -> int:
        found = await usage.sums(connection, by, since)
        totals = ("requests", "failed", *usage.SUMS, "unpriced")
        if args.csv:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow((*by, *totals))
            writer.writerows(
                [*(_cell(row, name, "") for name in by), *(_total(row, name) for name in totals)] for row in found
            )
            return OK
        rows = [tuple(name.upper().replace("_", " ") for name in (*by, *totals))]
        rows += [(*(_cell(row, name, "-") for name in by), *(_total(row, name) for name in totals)) for row in found]
        print_table(rows)
        return OK

    return read_store(args, read)


def _cell(row: dict[str, Any], name: str, empty: str) -> str:
    value = row[name]
    if name == "day":
        return datetime.fromtimestamp(value * usage.DAY_S, UTC).date().isoformat()
    return str(value).strip(",") or empty if value is not None else empty


def _total(row: dict[str, Any], name: str) -> str:
    return dollars(row[name]) if name == "cost" else str(row[name])


def _audit(args: argparse.Namespace) -> int:
    since = _moment(args.since)

    async def read(_: Store, connection: AsyncConnection) -> int:
        rows = [("WHEN", "WHO", "FROM", "ACTION", "SUBJECT", "CHANGE")]
        for each in await audit.list_latest(connection, since, args.last):
            when = datetime.fromtimestamp(each.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            rows.append((when, each.actor, each.origin, each.action, each.subject, each.detail))
        print_table(rows)
        return OK

    return read_store(args, read)


def _moment(text: str) -> float:
    """The unix time that a text means: so long ago, or a date."""
    if _AGO.fullmatch(text):
        return time.time() - _seconds(text, "--since")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise StoreError(f"--since: {text!r} is no time; give 12h, 7d, 4w, or a date such as 2026-11-30") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _seconds(text: str, flag: str) -> float:
    match = _AGO.fullmatch(text)
    if match is None:
        raise StoreError(f"{flag}: {text!r} is no time; give such as 30m, 24h, 7d")
    return int(match[1]) * UNITS[match[2]]
