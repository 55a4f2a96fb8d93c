"""Runs against made-up gateways: two of `lighthouse`, of which one cell was fixed and one broke, and one of `ferry`."""

from __future__ import annotations

from crosswire.conformance.target.verdict import (
    FINE,
    LABELS,
    CellVerdict,
    Exchanged,
    Finding,
    Gateway,
    Message,
    Outcome,
    TargetRun,
)

JSON = {"content-type": "application/json"}

STEP = Exchanged(
    Message("POST /v1/messages", JSON, '{"model":"m","max_tokens":77,"tool_choice":{"type":"any"}}'),
    Message("POST /openai/v1/chat/completions", JSON, '{"model":"m","max_completion_tokens":77,"seed":4711}'),
    Message("status 200", JSON, '{"choices":[{"message":{"content":"<b>Hi & bye</b>"},"finish_reason":"length"}]}'),
    Message(
        "status 200",
        {"content-type": "text/event-stream"},
        'event: x\ndata: {"text":"<b>Hi"}\n\ndata: {"text":" & bye</b>"}\n',
    ),
)


def cell(story: str, outcome: Outcome, *, stream: bool = False, frontend: str = "anthropic") -> CellVerdict:
    finding = Finding(
        *(outcome, "loss", "vendor", f"{story} \x07 is lost: <script>", "It has an effect."),
        *("https://example.com/rule", 0, "tool_choice", "tool_choice"),
    )
    is_right = outcome in ("right", "not-offered")
    axes = (frontend, "openai", story, stream)
    name = "-".join((*axes[:3], "stream" if stream else "unary"))
    findings, steps = ([], []) if is_right else ([finding], [STEP])
    reason = "the profile has no such model" if outcome == "not-offered" else ""
    return CellVerdict(name, *axes, outcome, outcome in FINE, reason, findings, steps)


def run(name: str, version: str, day: int, *cells: CellVerdict) -> TargetRun:
    counts: dict[str, int] = {outcome: sum(each.outcome == outcome for each in cells) for outcome in LABELS}
    at = f"2026-11-{day:02}T10:00:00+00:00"
    return TargetRun(1, Gateway(name, version, "http://127.0.0.1:1"), at, "0.1.0", False, counts, list(cells))


RUNS = [
    run(
        "lighthouse",
        "1.1",
        20,
        cell("text", "right"),
        cell("tools", "wrong"),
        cell("audio", "right"),
        cell("new", "right"),
    ),
    run(
        "lighthouse",
        "1.0",
        10,
        cell("text", "right"),
        cell("tools", "right"),
        cell("audio", "silent-could"),
        cell("old", "right"),
    ),
    run(
        "ferry",
        "3",
        15,
        cell("text", "off-shape"),
        cell("text", "rejected", stream=True, frontend="gemini"),
        cell("audio", "not-offered"),
    ),
]
