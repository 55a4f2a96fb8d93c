"""`crosswire explain`: shows which backend a request would get, and why."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..endpoints.explain import KEYS, explain, table
from ..errors import Malformed
from ..ir import CAPABILITIES
from ..protocols import PROTOCOLS
from ..wire.json_fields import parse_object
from .config_source import add_config_arguments, config_of
from .exit_codes import FAILED, OK, USAGE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--model", help="the model that the client asks for; that of --request unless it is given")
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
    parser.add_argument(
        "--request",
        type=Path,
        metavar="FILE",
        help="a whole request's body, - is standard input; in place of --tools, --needs and --prompt",
    )
    parser.add_argument(
        "--frontend", choices=PROTOCOLS, metavar="PROTOCOL", help="the protocol of that body; default: openai-chat"
    )
    parser.add_argument("--user-agent", metavar="TEXT", help="what the client calls itself")
    parser.add_argument("--mode", help="the value of the header x-crosswire-mode")
    parser.add_argument("--pin", metavar="BACKEND", help="the value of the header x-crosswire-backend")
    parser.add_argument("--client", metavar="NAME", help="the client's name, for the strategy sticky by client")
    parser.add_argument("--down", nargs="*", default=[], metavar="BACKEND", help="backends to treat as down")
    parser.add_argument("--json", action="store_true", help="print the whole decision as JSON")
    parser.set_defaults(run=run, port=None)


def run(args: argparse.Namespace) -> int:
    said = {name: value for name in KEYS if (value := getattr(args, name)) not in (None, False, [])}
    try:
        if args.request is not None:
            said["request"] = _body_of(args.request)
        elif args.model is None:
            raise Malformed("model", "is required, unless --request has it")
        found = explain(config_of(args), said)
    except Malformed as fault:
        print(f"--{fault}".replace("_", "-", 1) if fault.path in KEYS else f"--{fault}", file=sys.stderr)
        return USAGE
    except OSError as fault:
        print(f"--request: {args.request} cannot be read: {fault.strerror}", file=sys.stderr)
        return USAGE
    print(json.dumps(found, indent=2, ensure_ascii=False) if args.json else table(found))
    return OK if found["chosen"] is not None else FAILED


def _body_of(file: Path) -> dict[str, Any]:
    """Returns the request in a file, or on standard input where it is called `-`."""
    text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        return parse_object(text)
    except Malformed as fault:
        raise fault.under("request") from None
