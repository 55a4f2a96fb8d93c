"""Gemini's count of tokens.

Source: https://ai.google.dev/api/tokens
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ...errors import Malformed
from ...wire import json_fields
from ..protocol import TokenCount


def unwrap(body: dict[str, Any]) -> dict[str, Any]:
    """The request within `generateContentRequest`, or the body itself, which may hold `contents` alone."""
    inner = (body[key] for key in ("generateContentRequest", "generate_content_request") if key in body)
    found = next(inner, body)
    if not isinstance(found, dict):
        raise Malformed("generateContentRequest", f"must be an object, is {json_fields.describe(found)}")
    return found


TOKEN_COUNT = TokenCount(
    unwrap=unwrap,
    method="generateContent",
    render=lambda count: {"totalTokens": count},
    path=lambda model: f"/v1beta/models/{quote(model, safe='')}:countTokens",
    # "generateContentRequest: … The overall input given to the Model. This includes the prompt as well as other model
    # steering information like system instructions, and/or function declarations": https://ai.google.dev/api/tokens
    body=lambda payload, model: {"generateContentRequest": {"model": f"models/{model}", **payload}},
    key="totalTokens",
)
