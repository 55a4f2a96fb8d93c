"""The sentence of an error, in every shape that hosts and gateways write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.wire.error_bodies import is_error, parse_error_body

WORDS = "no such thing"
SHAPES: dict[str, object] = {
    "an object": {"error": {"message": WORDS}},
    "a text": {"error": WORDS},
    "xAI": {"code": "x", "error": WORDS},
    "Google's array": [{"error": {"code": 404, "message": WORDS, "status": "NOT_FOUND"}}],
    "an array inside": {"error": [{"message": WORDS}]},
    "Cloudflare": {"success": False, "errors": [{"code": 5006, "message": WORDS}]},
    "several": {"errors": ["first", WORDS]},
    "FastAPI": {"detail": WORDS},
    "FastAPI's list": {"detail": [{"type": "missing", "loc": ["body", "user"], "msg": WORDS}]},
    "FastAPI's object": {"detail": {"error": {"message": WORDS}}},
    "Mistral": {"object": "error", "message": {"detail": [{"loc": ["body", "user"], "msg": WORDS}]}, "type": "x"},
    "vLLM": {"object": "error", "message": WORDS, "type": "BadRequestError", "code": 400},
    "a bare message": {"message": WORDS},
    "Z.ai": {"code": 1113, "msg": WORDS, "success": False},
    "MiniMax": {"base_resp": {"status_code": 1004, "status_msg": WORDS}},
    "OAuth": {"error": "invalid_grant", "error_description": WORDS},
    "Apigee": {"fault": {"faultstring": WORDS, "detail": {"errorcode": "x"}}},
    "OpenRouter": {"error": {"code": 400, "message": "Provider returned error", "metadata": {"raw": WORDS}}},
    "OpenRouter's JSON": {
        "error": {"message": "Provider returned error", "metadata": {"raw": json.dumps({"error": {"message": WORDS}})}}
    },
    "OpenRouter's object": {"error": {"message": "x", "metadata": {"raw": {"detail": WORDS}}}},
    "a JSON text": WORDS,
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_sentence_is_found(shape: object, protocol: str) -> None:
    failure = PROTOCOLS[protocol].decode_failure(400, json.dumps(shape).encode(), None)
    assert WORDS in failure.message
    assert failure.status == 400


def test_where_a_fault_is_stands_before_it() -> None:
    body = {"detail": [{"loc": ["body", "n", 0], "msg": "one"}, {"loc": ["body", "m"], "msg": "two"}]}
    assert parse_error_body(json.dumps(body).encode())["message"] == "body.n.0: one; body.m: two"


def test_a_plain_text_is_the_sentence_and_a_page_is_none() -> None:
    assert parse_error_body(b"no such thing\n")["message"] == WORDS
    assert parse_error_body(b"<html><p>no such thing</p></html>")["message"] is None
    assert parse_error_body(b"")["message"] is None


NONE: list[dict[str, Any]] = [
    {},
    {"error": None},
    {"type": "ping"},
    {"status": "queued"},
    {"message": "still working"},
    {"base_resp": {"status_code": 0, "status_msg": "success"}},
    {"code": 0, "msg": "success"},
    {"prompt_filter_results": [], "object": ""},
]


@pytest.mark.parametrize("fields", NONE, ids=str)
def test_what_is_no_error(fields: dict[str, Any]) -> None:
    assert not is_error(fields)
