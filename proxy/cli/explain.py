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
        "--needs", nargs="*", default=[], choices=CAPABILITIES, metavar="CAPABILITY", help="what else it needs"
    )
    parser.add_argument("--prompt", metavar="TEXT", help="what the client says, for a smart model's score")
    parser.add_argument("--mode", help="what the client's header x-crosswire-mode says")
    parser.add_argument("--pin", metavar="BACKEND", help="what the client's header x-crosswire-backend says")
    parser.add_argument("--down", nargs="*", default=[], metavar="BACKEND", help="backends to think of as down")
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
