"""Tests of the exceptions, of the kinds of failure and their statuses, and of backends' error statuses."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy import errors
from crosswire.proxy.errors import (
    MESSAGE_LIMIT,
    STATUS,
    ConfigError,
    CrosswireError,
    Malformed,
    failure,
    upstream_failure,
)


def test_the_docstring_shows_the_class_tree() -> None:
    """Every class is drawn, below its parent."""
    classes = {
        cls.__name__: cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, CrosswireError) and cls.__module__ == errors.__name__
    }
    drawn: dict[str, str | None] = {}
    ancestry: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        name = next(
            (word for word in line.replace("─", " ").replace("├", " ").replace("└", " ").replace("│", " ").split()), ""
        )
        if name in classes:
            indent = line.index(name)
            while ancestry and ancestry[-1][0] >= indent:
                ancestry.pop()
            drawn[name] = ancestry[-1][1] if ancestry else None
            ancestry.append((indent, name))
    assert drawn == {
        name: None if cls is CrosswireError else cls.__bases__[0].__name__ for name, cls in classes.items()
    }


@pytest.mark.parametrize("kind", STATUS)
def test_each_kind_has_a_status_and_a_code(kind: str) -> None:
    made = failure(kind, "words", param="p")
    assert (made.kind, made.status, made.code, made.param) == (kind, STATUS[kind], kind, "p")
    assert 400 <= made.status < 600


MEANINGS: dict[int, tuple[str, int, bool]] = {
    400: ("bad_request", 400, True),
    401: ("upstream_auth", 502, False),
    402: ("upstream_quota", 503, False),  # with the time of its end, which the test gives
    403: ("upstream_auth", 502, False),
    404: ("not_found", 404, True),
    407: ("upstream_auth", 502, False),
    408: ("upstream_timeout", 504, False),
    413: ("too_large", 413, True),
    418: ("upstream_error", 502, True),
    422: ("unprocessable", 422, True),
    429: ("rate_limit", 429, True),
    500: ("upstream_error", 502, True),
    503: ("overloaded", 503, True),
    504: ("upstream_timeout", 504, False),
    508: ("loop", 508, False),
    529: ("overloaded", 503, True),
    302: ("upstream_error", 502, False),
    999: ("upstream_error", 502, True),
}


@pytest.mark.parametrize(("status", "meaning"), MEANINGS.items())
def test_upstream_failure_by_status(status: int, meaning: tuple[str, int, bool]) -> None:
    kind, told, passed_on = meaning
    made = upstream_failure(status, "its own words", code="its_code", retry_after=3)
    assert (made.kind, made.status, made.retry_after) == (kind, told, 3)
    assert (made.message == "its own words") is passed_on
    assert made.code == ("its_code" if passed_on else kind)


@pytest.mark.parametrize("message", ["Traceback (most recent call last):\n  File x", "Error: x\n    at y.js:1"])
def test_a_traceback_is_not_passed_on(message: str) -> None:
    assert upstream_failure(500, message).message == "The backend failed to answer."


@given(st.integers(100, 599), st.text(max_size=5000), st.sampled_from(sorted(STATUS)) | st.none())
def test_property_every_status_gives_an_error_with_a_message(status: int, message: str, kind: str | None) -> None:
    made = upstream_failure(status, message, kind=kind)
    assert made.kind in STATUS
    assert made.status == STATUS[made.kind] >= 400
    assert 0 < len(made.message) <= MESSAGE_LIMIT


def test_malformed_has_path_and_text() -> None:
    fault = Malformed("text", "must be a string").under("content[2]").under("messages[0]")
    assert str(fault) == "messages[0].content[2].text: must be a string"
    assert str(Malformed("", "is empty")) == "is empty"
    assert str(Malformed("", "is empty").under("tools")) == "tools: is empty"
    assert str(Malformed("[1]", "is empty").under("tools")) == "tools[1]: is empty"


def test_config_error_has_every_message() -> None:
    assert ConfigError(["a:1: x", "a:2: y"]).complaints == ("a:1: x", "a:2: y")
