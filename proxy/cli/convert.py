"""`crosswire convert`: converts a request body from standard input, and names the losses."""

from __future__ import annotations

import argparse
import json
import sys

from ..errors import Malformed
from ..ir.tool_ids import with_unique_calls
from ..protocols import PROTOCOLS
from ..protocols.protocol import UpstreamTarget
from ..wire import json_fields
from .exit_codes import OK, USAGE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="source", required=True, choices=PROTOCOLS, help="the protocol of the body")
    parser.add_argument("--to", dest="target", required=True, choices=PROTOCOLS, help="the protocol to convert to")
    parser.add_argument("--model", help="the upstream model (default: the body's); for gemini also the requested one")
    parser.add_argument(
        "--stream",
        action="store_true",
        help="the request streams; only for gemini, where the URL and not the body says so",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    source, target = PROTOCOLS[args.source], PROTOCOLS[args.target]
    url = source.url_params(args.model or source.example_model, args.stream)
    try:
        request = source.decode_request(json_fields.parse_object(sys.stdin.buffer.read()), url)
    except Malformed as fault:
        print(f"not a {args.source} request: {fault}", file=sys.stderr)
        return USAGE
    sent = target.encode_request(with_unique_calls(request), UpstreamTarget(args.model or request.model, args.target))
    print(json.dumps(json.loads(json_fields.encode(sent.payload)), indent=2, ensure_ascii=False))
    for loss in sent.losses:
        print(f"loss: {loss.feature} {loss.how} at {loss.path}", file=sys.stderr)
    if not sent.losses:
        print("no losses", file=sys.stderr)
    return OK
