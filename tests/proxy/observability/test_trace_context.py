"""The headers of a trace: which are valid, and what is passed on of them."""

from __future__ import annotations

import pytest

from crosswire.proxy.observability.trace_context import Parent, read_parent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (GOOD, 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-03", 3),
        (f" \t{GOOD}\t ", 1),
        (f"01-{TRACE}-{SPAN}-01", 1),  # a higher version is read as far as this one goes
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
        (f"cc-{TRACE}-{SPAN}-01-", 1),
    ],
)
def test_a_parent(text: str, flags: int) -> None:
    assert read_parent(text, None) == Parent(int(TRACE, 16), int(SPAN, 16), flags, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0x",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00_{TRACE}_{SPAN}_01",
        f"{GOOD}, {GOOD}",
        f"{GOOD}\n",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 500}",
    ],
)
def test_no_parent(text: str) -> None:
    assert read_parent(text, "a=b") is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("vendor=1", "vendor=1"),
        ("a=1,b=2", "a=1,b=2"),
        (" a=1 ,\tb=2 ,, ", "a=1,b=2"),
        ("b=2,a=1", "b=2,a=1"),
        ("a= 1", "a= 1"),  # spaces before are of the value
        ("1tenant@vendor=x", "1tenant@vendor=x"),
        ("a_-*/9=v", "a_-*/9=v"),
        (",".join(f"k{n}=v" for n in range(32)), ",".join(f"k{n}=v" for n in range(32))),
        # the parent is good whatever these are
        (",".join(f"k{n}=v" for n in range(33)), ""),
        ("a=1,a=2", ""),
        ("a", ""),
        ("a=", ""),
        ("=1", ""),
        ("A=1", ""),
        ("a=1=2", ""),
        ("a=ä", ""),
        ("a=1\nb: 2", ""),
        ("a" * 257 + "=1", ""),
        ("a=" + "1" * 257, ""),
        ("a=" + "1" * 256, "a=" + "1" * 256),
        ("a=1" + "," * 9000, ""),
        ("", ""),
    ],
)
def test_a_state(given: str, kept: str) -> None:
    parent = read_parent(GOOD, given)
    assert parent is not None
    assert parent.state == kept
