"""What goes wrong reaches the user of each SDK as the SDK's own exception, with the words that help."""

from __future__ import annotations

import openai
import pytest
from drivers import DRIVERS
from drivers.desk import Desk
from drivers.driver import CLIENT_KEY, Ask, Failed, Settings, converse
from drivers.openai_responses import ResponseFailed
from msgspec import Struct
from sdk_stories import SCENARIOS, ask_of, settings_of, told_by

from mockserver.speech import SayError


class Wrong(Struct, frozen=True):
    """The exception's class for a status, and the code in the body where it is always the same."""

    kind: str
    code: str | None = None


OPENAI = {
    400: Wrong("BadRequestError"),
    404: Wrong("NotFoundError", "model_not_found"),
    429: Wrong("RateLimitError", "rate_limit_exceeded"),
    502: Wrong("InternalServerError"),
}

WRONG: dict[str, dict[int, Wrong]] = {
    "openai-chat": OPENAI,
    "openai-responses": OPENAI,
    "anthropic": {
        400: Wrong("BadRequestError", "invalid_request_error"),
        404: Wrong("NotFoundError", "not_found_error"),
        429: Wrong("RateLimitError", "rate_limit_error"),
        502: Wrong("InternalServerError", "api_error"),
    },
    "gemini": {
        400: Wrong("ClientError", "INVALID_ARGUMENT"),
        404: Wrong("ClientError", "NOT_FOUND"),
        429: Wrong("ClientError", "RESOURCE_EXHAUSTED"),
        502: Wrong("ServerError", "INTERNAL"),
    },
    "ollama": {status: Wrong("ResponseError") for status in (400, 404, 429, 502)},
}
"""By frontend and status."""

STORIES = {"error-400-message": 400, "error-401": 502, "error-429": 429, "error-500": 502}
"""What the client of an upstream's error hears: our own key's fault, and a backend's own trouble, are ours to bear."""

OWN_WORDS = {"error-401": "refused the proxy's own credentials", "error-500": "failed to answer"}
"""Where the upstream's words are kept from the client, ours."""

MIDWAY: dict[str, dict[str, Failed]] = {
    "openai-chat": {
        "cut": Failed("APIError", "", code="upstream_cut"),
        "overloaded": Failed("APIError", "", code="overloaded"),
        "broken": Failed("APIError", "", code="upstream_error"),
    },
    # "code" is one of a closed list. https://platform.openai.com/docs/api-reference/responses/object
    "openai-responses": {
        "cut": Failed("response.failed", "", code="server_error"),
        "overloaded": Failed("response.failed", "", code="server_error"),
        "broken": Failed("response.failed", "", code="server_error"),
    },
    # The status was sent long before, and the SDK chooses its class by it.
    "anthropic": {
        "cut": Failed("APIStatusError", "", 200, code="api_error"),
        "overloaded": Failed("APIStatusError", "", 200, code="overloaded_error"),
        "broken": Failed("APIStatusError", "", 200, code="api_error"),
    },
    "gemini": {
        "cut": Failed("ServerError", "", 502, code="INTERNAL"),
        "overloaded": Failed("ServerError", "", 503, code="UNAVAILABLE"),
        "broken": Failed("ServerError", "", 502, code="INTERNAL"),
    },
    # What the SDK says where there is no status of its own.
    "ollama": {kind: Failed("ResponseError", "", -1) for kind in ("cut", "overloaded", "broken")},
}
"""By frontend and by what happened to the stream; the messages stand in `WORDS`."""

WORDS = {"cut": "ended before its answer did", "overloaded": "overloaded", "broken": "failed to answer"}

HAPPENED = {"stream-cut": "cut", "stream-error-midway": "overloaded"}
"""What happens in a story."""

KINDLESS = {"ollama"}
"""Protocols whose error within a stream is a text alone. https://github.com/ollama/ollama/blob/main/docs/api.md"""

TELLS_NO_HEADERS = {"ollama"}
"""Whose exceptions have no place for a header."""

pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", DRIVERS)
def test_an_upstreams_error(desk: Desk, provider: str, story: str, stream: bool) -> None:
    status = STORIES[story]
    failed = fail(desk, story, settings_of(story, provider, stream=stream))
    assert_is(failed, desk, status)
    said = words_of_error(story, provider)
    if story in OWN_WORDS:
        assert OWN_WORDS[story] in failed.message
        assert said not in failed.message
    else:
        assert failed.message == said
    assert desk.tape.last.headers.get("retry-after") == ("7" if story == "error-429" else None)
    for taken in desk.tape.taken:
        assert SCENARIOS.providers[provider].auth.key.encode() not in taken.body
        assert CLIENT_KEY.encode() not in taken.body


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("frontend", DRIVERS)
def test_a_model_that_nobody_knows(choosy_desk: Desk, stream: bool) -> None:
    settings = Settings("no-such-model", stream)
    with pytest.raises(choosy_desk.driver.errors) as caught:
        converse(choosy_desk.driver, choosy_desk.client, (Ask("Hello!"),), settings)
    failed = choosy_desk.driver.failed(caught.value)
    assert_is(failed, choosy_desk, 404)
    assert "no-such-model" in failed.message


@pytest.mark.parametrize("story", HAPPENED)
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", DRIVERS)
def test_a_stream_that_breaks(desk: Desk, provider: str, story: str) -> None:
    """What came before the error was heard, whole and valid; the error is an exception and never an end."""
    failed = fail(desk, story, settings_of(story, provider, stream=True))
    happened = HAPPENED[story]
    if happened == "overloaded" and SCENARIOS.providers[provider].protocol in KINDLESS:
        happened = "broken"
    wanted = MIDWAY[desk.driver.name][happened]
    assert (failed.kind, failed.status, failed.code) == (wanted.kind, wanted.status, wanted.code)
    assert WORDS[happened] in failed.message
    assert desk.tape.last.status == 200
    *events, last = desk.events(desk.tape.last)
    for event in events:
        desk.driver.judge_event(event)
    assert failed.message in last
    (exchange,) = SCENARIOS.stories[story].exchanges
    text, _ = told_by(exchange.said_by(provider) or ())
    at = 0
    for word in text.split():
        at = "".join(events).index(word, at)
    done = desk.driver.done
    assert done is None or done.encode() not in desk.tape.last.body


@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", ["openai-responses"])
def test_nobody_may_take_a_failed_response_for_a_whole_one(desk: Desk, provider: str) -> None:
    """The SDK hands `response.failed` over like any event; who overlooks it still meets a broken connection."""
    settings = settings_of("stream-cut", provider, stream=True)
    words = ask_of(SCENARIOS.stories["stream-cut"].exchanges[0]).words
    kinds = []
    with pytest.raises(openai.APIConnectionError):  # noqa: PT012 - the exception must come after the events
        for event in desk.client.responses.create(model=settings.model, input=words, stream=True):
            kinds.append(event.type)
    assert kinds[-1] == "response.failed"
    with pytest.raises((openai.APIConnectionError, ResponseFailed)):
        desk.driver.helped(desk.client, desk.driver.say([], Ask(words), None), settings)


# ---- what an error says ----------------------------------------------------------------------------------------------


def fail(desk: Desk, story: str, settings: Settings) -> Failed:
    """Play a story that must fail; what the SDK's user hears of it."""
    asks = tuple(ask_of(exchange) for exchange in SCENARIOS.stories[story].exchanges)
    with pytest.raises(desk.driver.errors) as caught:
        converse(desk.driver, desk.client, asks, settings)
    assert len(desk.tape.taken) == 1
    return desk.driver.failed(caught.value)


def assert_is(failed: Failed, desk: Desk, status: int) -> None:
    """An error before anything was said has the SDK's class for its status, and can be found in the record."""
    wrong = WRONG[desk.driver.name][status]
    assert failed.kind == wrong.kind
    assert failed.status == desk.tape.last.status == status
    if wrong.code is not None:
        assert failed.code == wrong.code
    if desk.driver.name not in TELLS_NO_HEADERS:
        assert failed.request_id == desk.tape.last.headers["x-request-id"]
        assert failed.retry_after == desk.tape.last.headers.get("retry-after")


def words_of_error(story: str, provider: str) -> str:
    """The upstream's own message, as the story has it or its dialect's literal reply."""
    (exchange,) = SCENARIOS.stories[story].exchanges
    raw = exchange.raw.get(SCENARIOS.providers[provider].protocol)
    if raw is not None:
        return str(raw.body[0]["error"]["message"])
    (error,) = [item for item in exchange.said_by(provider) or () if isinstance(item, SayError)]
    return error.message
