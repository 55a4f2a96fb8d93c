"""Token counts by the definitions of the vendors, read from literal bodies, and their comparison."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.conformance.replay.usage_totals import DETAILS, READERS, Totals, usage_errors, wire_totals
from crosswire.proxy.protocols import PROTOCOLS


def chat(prompt: int, completion: int, total: int | None = None, **details: int) -> dict[str, Any]:
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    into = {key: count for key, count in details.items() if key != "reasoning_tokens"}
    usage["prompt_tokens_details"] = into
    usage["completion_tokens_details"] = {key: details[key] for key in details.keys() - into.keys()}
    return {"usage": usage}


def gemini(**counts: int) -> dict[str, Any]:
    return {"usageMetadata": {f"{key}TokenCount": count for key, count in counts.items()}}


def message(kind: str, **usage: int) -> dict[str, Any]:
    return {"type": kind, "message": {"usage": usage}} if kind == "message_start" else {"type": kind, "usage": usage}


READ: list[tuple[str, str, list[Any], tuple[int | None, ...] | None]] = [
    ("chat", "openai-chat", [chat(20, 7, 27, cached_tokens=4, reasoning_tokens=3)], (20, 7, 4, None, 3)),
    ("cached above the prompt", "openai-chat", [chat(23, 110, 133, cached_tokens=158)], (23, 110, 158, None, None)),
    ("reasoning beside the output", "openai-chat", [chat(20, 10, 126, reasoning_tokens=96)], (20, 106, None, None, 96)),
    ("reasoning above the output", "openai-chat", [chat(20, 10, 30, reasoning_tokens=96)], (20, 10, None, None, 96)),
    ("a total above its parts", "openai-chat", [chat(66, 6, 100)], (66, 34, None, None, None)),
    (
        "sound counted in the total",
        "openai-chat",
        [{"usage": {**chat(11, 15, 401)["usage"], "prompt_audio_seconds": 5}}],
        (386, 15, None, None, None),
    ),
    ("a running count", "openai-chat", [chat(20, 1, 21), {"usage": None}, chat(20, 7, 27)], (20, 7, None, None, None)),
    ("in the choice", "openai-chat", [{"choices": [chat(20, 7)]}], (20, 7, None, None, None)),
    ("in a host's own field", "openai-chat", [{"choices": [], "x_groq": chat(20, 7)}], (20, 7, None, None, None)),
    ("no usage", "openai-chat", [{"choices": []}], None),
    ("not an object", "openai-chat", [{"usage": [1]}, None, 3], None),
    (
        "responses",
        "openai-responses",
        [
            {"type": "response.created", "response": {"usage": None}},
            {"type": "response.completed", "response": {"usage": {"input_tokens": 20, "output_tokens": 7}}},
            {"type": "response.completed", "response": {"usage": {"input_tokens": 99, "output_tokens": 99}}},
        ],
        (20, 7, None, None, None),
    ),
    (
        "anthropic",
        "anthropic",
        [
            {
                "usage": {
                    "input_tokens": 3,
                    "cache_read_input_tokens": 10,
                    "cache_creation_input_tokens": 7,
                    "output_tokens": 5,
                }
            }
        ],
        (20, 5, 10, 7, None),
    ),
    (
        "anthropic's cumulative counts",
        "anthropic",
        [
            message("message_start", input_tokens=20, output_tokens=1),
            message("message_delta", output_tokens=9),
            {"type": "message_stop"},
            message("message_start", input_tokens=99, output_tokens=1),
        ],
        (20, 9, None, None, None),
    ),
    (
        "gemini",
        "gemini",
        [gemini(prompt=20, cachedContent=5, toolUsePrompt=4, candidates=7, thoughts=6, total=37)],
        (24, 13, 5, None, 6),
    ),
    ("gemini's remainder", "gemini", [gemini(prompt=66, candidates=6, total=100)], (66, 34, None, None, None)),
    ("gemini's last chunk", "gemini", [gemini(prompt=9, total=9), gemini(prompt=9, candidates=2, total=11)], (9, 2)),
    ("ollama", "ollama", [{"done": False}, {"done": True, "prompt_eval_count": 20, "eval_count": 7}], (20, 7)),
    ("ollama omits a count of zero", "ollama", [{"done": True, "eval_count": 7}], (0, 7)),
]


@pytest.mark.parametrize(("protocol", "values", "wanted"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_wire_totals(protocol: str, values: list[Any], wanted: tuple[int | None, ...] | None) -> None:
    found = wire_totals(protocol, values)
    if wanted is None:
        assert found is None
    else:
        assert found is not None
        told = (found.prompt, found.output, found.cache_read, found.cache_write, found.reasoning)
        assert told[: len(wanted)] == wanted


SENT = Totals(20, 7, 4, None, 3)
ODD = Totals(23, 110, 158)

COMPARED: list[tuple[str, Totals | None, Totals | None, str, list[str]]] = [
    ("equal", SENT, SENT, "openai-chat", []),
    ("another prompt", SENT, Totals(21, 7, 4, None, 3), "openai-chat", ["usage.prompt"]),
    ("another output", SENT, Totals(20, 8, 4, None, 3), "openai-chat", ["usage.output"]),
    ("a detail lost", SENT, Totals(20, 7), "openai-chat", ["usage.cache_read", "usage.reasoning"]),
    ("a detail for which there is no field", SENT, Totals(20, 7), "ollama", []),
    ("a detail that raises its total", ODD, Totals(158, 110, 158), "openai-chat", ["usage.prompt", "usage.cache_read"]),
    ("a detail cut to its total", ODD, Totals(23, 110, 23), "openai-chat", []),
    ("a wrong sum", SENT, Totals(20, 7, 4, None, 3, 28), "openai-chat", ["usage.total"]),
    ("none and zero", None, Totals(0, 0), "anthropic", []),
    ("none and some", None, Totals(5, 0), "anthropic", ["usage"]),
    ("some and none", SENT, None, "openai-chat", ["usage"]),
    ("zero and none", Totals(0, 0), None, "openai-chat", []),
]


@pytest.mark.parametrize(
    ("sent", "received", "protocol", "wrong"), [row[1:] for row in COMPARED], ids=[row[0] for row in COMPARED]
)
def test_usage_errors(sent: Totals | None, received: Totals | None, protocol: str, wrong: list[str]) -> None:
    assert [text.partition(":")[0] for text in usage_errors(sent, received, protocol)] == wrong


def test_every_protocol_has_a_reader() -> None:
    assert set(READERS) == set(DETAILS) == set(PROTOCOLS)
