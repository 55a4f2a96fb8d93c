"""Sessions of the page: what makes one, what ends one, and who has to wait."""

from __future__ import annotations

import pytest

from crosswire.proxy.page.session import LASTS_S, TRIES, TRIES_S, Sessions

KEY = "an-admin-key-of-the-test"


class Clock:
    def __init__(self) -> None:
        self.now = 1_760_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions("instance", clock)


def begun(sessions: Sessions) -> str:
    token = sessions.log_in(KEY, KEY, "address")
    assert token is not None
    return token


def test_the_admin_key_makes_a_session(sessions: Sessions) -> None:
    assert sessions.is_valid(begun(sessions), KEY)
    assert begun(sessions) != begun(sessions)


@pytest.mark.parametrize("given", ["", KEY[:-1], KEY + "x", KEY.upper(), "\ud800"])
def test_no_other_does(sessions: Sessions, given: str) -> None:
    assert sessions.log_in(given, KEY, "address") is None


@pytest.mark.parametrize(
    "changed",
    [
        lambda token: "",
        lambda token: "..",
        lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
        lambda token: "9" + token,
        lambda token: token.rpartition(".")[0],
        lambda token: "\udcff" + token,
    ],
)
def test_a_changed_token_is_none(sessions: Sessions, changed: object) -> None:
    assert callable(changed)
    assert not sessions.is_valid(changed(begun(sessions)), KEY)


def test_what_ends_a_session(sessions: Sessions, clock: Clock) -> None:
    token, other = begun(sessions), begun(sessions)
    assert not sessions.is_valid(token, "another-admin-key-now")
    assert not Sessions("another run", clock).is_valid(token, KEY)
    sessions.end(token)
    assert not sessions.is_valid(token, KEY)
    assert sessions.is_valid(other, KEY)
    clock.now += LASTS_S + 1
    assert not sessions.is_valid(other, KEY)


def test_the_second_token_is_of_one_session(sessions: Sessions) -> None:
    token, other = begun(sessions), begun(sessions)
    page = sessions.page_token(token, KEY)
    assert sessions.is_page_token(page, token, KEY)
    for wrong in ("", token, page[:-1], sessions.page_token(other, KEY)):
        assert not sessions.is_page_token(wrong, token, KEY)


def test_who_guesses_has_to_wait(sessions: Sessions, clock: Clock) -> None:
    for _ in range(TRIES):
        assert sessions.wait_s("a") == 0
        sessions.log_in("wrong", KEY, "a")
    assert 0 < sessions.wait_s("a") <= TRIES_S
    assert sessions.wait_s("b") == 0
    clock.now += TRIES_S
    assert sessions.wait_s("a") == 0
