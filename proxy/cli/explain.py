"""`crosswire explain`: shows which backend a request would get, and why."""

from __future__ import annotations

import argparse
import json
import sys

from ..endpoints.explain import explain, table
from ..errors import Malformed
from ..ir import CAPABILITIES
from .config_source import add_config_arguments, config_of
from .exit_codes import FAILED, OK, USAGE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--model", required=True, help="the model that the client asks for")
    parser.add_argument("--tools", action="store_true", help="the request offers tools")
    parser.add_argument(
        "--needs",
        nargs="*",
        default=[],
        choices=CAPABILITIES,
        metavar="CAPABILITY",
        help="capabilities that the request needs",
    )
    parser.add_argument("--prompt", metavar="TEXT", help="the user's text, for a smart model's score")
    parser.add_argument("--mode", help="the value of the header x-crosswire-mode")
    parser.add_argument("--pin", metavar="BACKEND", help="the value of the header x-crosswire-backend")
    parser.add_argument("--down", nargs="*", default=[], metavar="BACKEND", help="backends to treat as down")
    parser.add_argument("--json", action="store_true", help="print the whole decision as JSON")
    parser.set_defaults(run=run, port=None)


def run(args: argparse.Namespace) -> int:
    body = {"model": args.model, "needs": args.needs, "tools": args.tools, "prompt": args.prompt, "down": args.down}
    try:
        found = explain(config_of(args), {**body, "mode": args.mode, "pin": args.pin})
    except Malformed as fault:
        print(f"--{fault}", file=sys.stderr)
        return USAGE
    print(json.dumps(found, indent=2, ensure_ascii=False) if args.json else table(found))
    return OK if found["chosen"] is not None else FAILED
