"""`crosswire health`: asks a running proxy whether it takes requests; for containers, which have no other client."""

from __future__ import annotations

import argparse
import http.client
import sys
from urllib.parse import urlsplit

from .exit_codes import FAILED, OK, USAGE

LONGEST = 2000
"""Bytes of an answer that are shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", default="http://127.0.0.1:9001", help="address of the proxy (default: http://127.0.0.1:9001)"
    )
    parser.add_argument("--live", action="store_true", help="ask only whether the process lives, also while it drains")
    parser.add_argument("--timeout", type=float, default=2.0, metavar="SECONDS", help="time limit (default: 2)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if the proxy says so, 1 if it does not or does not answer."""
    try:
        where = urlsplit(args.url)
        if where.scheme != "http" or not where.hostname:
            raise ValueError
        connection = http.client.HTTPConnection(where.hostname, where.port or 80, timeout=args.timeout)
    except ValueError:
        print(f"{args.url} is not an address such as http://127.0.0.1:9001", file=sys.stderr)
        return USAGE
    try:
        connection.request("GET", "/livez" if args.live else "/readyz")
        answer = connection.getresponse()
        text = answer.read(LONGEST).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as fault:
        print(f"{args.url} does not answer: {fault or type(fault).__name__}", file=sys.stderr)
        return FAILED
    finally:
        connection.close()
    print(text)
    return OK if answer.status == 200 else FAILED
