"""Content that only one protocol has, told as text; texts of separate blocks."""

from __future__ import annotations

from base64 import b64encode

import pytest
from msgspec.structs import replace

from crosswire.proxy.ir import Block, Citation, Document, Image, Media, Opaque, Request, Text, ToolResult, Turn
from crosswire.proxy.ir.readable import TextFiles, joined, readable

CSV = b64encode(b"a,b\n1,2").decode()
FILE = Document(Media("text/csv", CSV, name="t.csv"))
PDF = Document(Media("application/pdf", "JVBE"))
FOUND = Opaque("p", "tool_reference", {}, "Tool found: w")


def _request(*turns: Turn) -> Request:
    return Request(protocol="p", model="m", turns=turns)


@pytest.mark.parametrize(
    ("block", "text_files", "expected"),
    [
        (FOUND, "none", Text("Tool found: w")),
        (Opaque("p", "odd", {}), "all", Opaque("p", "odd", {})),
        (FILE, "all", Text("a,b\n1,2")),
        (FILE, "results", FILE),
        (FILE, "none", FILE),
        (PDF, "all", PDF),
        (ToolResult("c", (FILE, FOUND)), "results", ToolResult("c", (Text("a,b\n1,2"), Text("Tool found: w")))),
        (ToolResult("c", (FILE, FOUND)), "none", ToolResult("c", (FILE, Text("Tool found: w")))),
        (Document(Media("text/plain", text="words")), "all", Text("words")),
    ],
)
def test_readable_blocks(block: Block, text_files: TextFiles, expected: Block) -> None:
    made, losses = readable(_request(Turn("user", (block,))), text_files)
    assert made.turns[0].blocks == (expected,)
    named = expected != block and (block is FILE or (isinstance(block, ToolResult) and text_files == "results"))
    assert [loss.feature for loss in losses] == (["name"] if named else [])


def test_what_stands_beside_the_models_words_is_told_before_them() -> None:
    summary = Opaque("p", "compaction", {}, "Summary: x")
    request = _request(Turn("user", (Text("a"),)), Turn("assistant", (summary, Text("b"))), Turn("user", (Text("c"),)))
    assert readable(request, "none")[0].turns == (
        *(Turn("user", (Text("a"),)), Turn("user", (Text("Summary: x"),))),
        *(Turn("assistant", (Text("b"),)), Turn("user", (Text("c"),))),
    )
    alone = _request(Turn("assistant", (summary,)), Turn("assistant", (replace(summary, text=""),)))
    assert readable(alone, "none")[0].turns == (Turn("user", (Text("Summary: x"),)),)


def test_a_request_without_such_content_is_unchanged() -> None:
    request = _request(Turn("user", (Text("a"), Image(Media(url="u")))))
    assert readable(request, "all") == (request, [])
    assert readable(request, "all")[0] is request


CITED = Text("cited", (Citation("https://a"),))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), ""),
        ((Text("a"),), "a"),
        ((Text("a"), Text("b")), "a\nb"),
        ((Text("a\n"), Text("b")), "a\nb"),
        ((Text("a"), Text("\nb")), "a\nb"),
        ((Text("a"), Text(""), Text("b")), "a\nb"),
        ((Text("It says "), CITED, Text(".")), "It says cited."),
        ((Text("x", extra={"citations": [1]}), Text("y")), "xy"),
    ],
)
def test_joined(texts: tuple[Text, ...], expected: str) -> None:
    assert joined(texts) == expected
