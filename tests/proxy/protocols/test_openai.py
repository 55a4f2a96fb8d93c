"""The rules that both OpenAI protocols share: data URLs, content, counts, errors, and fields with two names."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.proxy.errors import Malformed
from crosswire.proxy.ir import Citation, Media, Text
from crosswire.proxy.protocols.openai import content, errors, losses, media, tables, usage
from crosswire.proxy.protocols.openai_chat.tables import KINDS as CHAT_KINDS
from crosswire.proxy.protocols.openai_responses.tables import KINDS as RESPONSES_KINDS


def test_media_become_a_url() -> None:
    assert media.url_out(Media("image/png", "AAAA")) == "data:image/png;base64,AAAA"
    assert media.url_out(Media(None, "AAAA")) == "data:application/octet-stream;base64,AAAA"
    assert media.url_out(Media(url="https://pictures.example/a.png")) == "https://pictures.example/a.png"


def part_in(part: dict[str, Any]) -> Text:
    return Text(part["text"])


def test_content_is_a_string_or_parts() -> None:
    assert content.content_in({"content": "hi"}, "content", part_in) == (Text("hi"),)
    assert content.content_in({"content": ""}, "content", part_in) == (Text(""),)
    assert content.content_in({"content": ""}, "content", part_in, required=False) == ()
    assert content.content_in({}, "content", part_in, required=False) == ()
    assert content.content_in({"output": [{"text": "a"}, {"text": "b"}]}, "output", part_in) == (Text("a"), Text("b"))


@pytest.mark.parametrize(("value", "what"), [(None, "is required"), (3, "is an integer")])
def test_other_content_is_malformed(value: object, what: str) -> None:
    with pytest.raises(Malformed, match=what) as raised:
        content.content_in({"output": value}, "output", part_in)
    assert raised.value.path == "output"


def test_arguments_may_be_an_object() -> None:
    assert content.arguments_in({"arguments": '{"a":1}'}) == '{"a":1}'
    assert content.arguments_in({"arguments": {"a": 1}}) == '{"a":1}'
    assert content.arguments_in({}) == ""


def test_annotations_that_are_no_citations_are_kept() -> None:
    citations, others = content.split_annotations(
        ["https://a.example", {"type": "file_citation"}], lambda a: Citation(a) if type(a) is str else None
    )
    assert citations == (Citation("https://a.example"),)
    assert others == [{"type": "file_citation"}]


def test_a_count_is_never_negative() -> None:
    assert [usage.count({"n": n}, "n") for n in (3, -1, "3", None)] == [3, 0, None, None]
    assert usage.count(None, "n") is None


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        ({"code": "x", "message": "m", "param": "p"}, 400, errors.ErrorFields(400, "kind", "m", "x", "p")),
        ({"type": "x", "code": 503}, None, errors.ErrorFields(503, "kind", None, None, None)),
        ({"code": 200}, None, errors.ErrorFields(502, None, None, None, None)),
        ("m", None, errors.ErrorFields(502, None, "m", None, None)),
    ],
    ids=["of a body", "of a stream with a status", "of a stream without a status", "a bare message"],
)
def test_an_error_is_parsed(error: object, status: int | None, expected: errors.ErrorFields) -> None:
    assert errors.parse_error(error, status, {"x": "kind"}) == expected


def test_both_protocols_know_the_shared_error_codes() -> None:
    assert tables.KINDS.items() <= CHAT_KINDS.items()
    assert tables.KINDS.items() <= RESPONSES_KINDS.items()


def test_a_shared_field_has_one_name_in_each_protocol() -> None:
    assert len(tables.CHAT_TO_RESPONSES) == len(tables.RESPONSES_TO_CHAT)


def test_stop_losses() -> None:
    assert losses.stop_losses("end", None) == []
    assert [loss.feature for loss in losses.stop_losses("pause", "STOP")] == ["stop_reason", "matched_stop"]


@pytest.mark.parametrize(
    ("name", "valid"), [("get_weather-2", True), ("a" * 64, True), ("a" * 65, False), ("a.b", False)]
)
def test_tool_names(name: str, valid: bool) -> None:
    assert bool(tables.TOOL_NAME.fullmatch(name)) is valid
