"""Errors reach the users of each SDK as the SDK's exceptions, with a useful message."""

from __future__ import annotations

import openai
import pytest
from msgspec import Struct

from crosswire.mockserver.scenarios.model import SayError

from .drivers import DRIVERS
from .drivers.driver import CLIENT_KEY, SdkError, Settings, UserTurn, run_conversation
from .drivers.openai_responses import ResponseFailed
from .drivers.session import SdkSession
from .sdk_stories import SCENARIOS, expected_content, settings_of, user_turn_of


class ExpectedError(Struct, frozen=True):
    """The exception's class for a status, and the code in the body where that is fixed."""

    kind: str
    code: str | None = None


OPENAI = {
    400: ExpectedError("BadRequestError"),
    404: ExpectedError("NotFoundError", "model_not_found"),
    429: ExpectedError("RateLimitError", "rate_limit_exceeded"),
    502: ExpectedError("InternalServerError"),
}

ERRORS: dict[str, dict[int, ExpectedError]] = {
    "openai-chat": OPENAI,
    "openai-responses": OPENAI,
    "anthropic": {
        400: ExpectedError("BadRequestError", "invalid_request_error"),
        404: ExpectedError("NotFoundError", "not_found_error"),
        429: ExpectedError("RateLimitError", "rate_limit_error"),
        502: ExpectedError("InternalServerError", "api_error"),
    },
    "gemini": {
        400: ExpectedError("ClientError", "INVALID_ARGUMENT"),
        404: ExpectedError("ClientError", "NOT_FOUND"),
        429: ExpectedError("ClientError", "RESOURCE_EXHAUSTED"),
        502: ExpectedError("ServerError", "INTERNAL"),
    },
    "ollama": {status: ExpectedError("ResponseError") for status in (400, 404, 429, 502)},
}
"""The exceptions by frontend and status."""

STORIES = {"error-400-message": 400, "error-401": 502, "error-429": 429, "error-500": 502}
"""The client's status for an upstream error: a refused key and a failed backend are the proxy's fault."""

PROXY_MESSAGES = {"error-401": "refused the proxy's own credentials"}
"""The proxy's message where the upstream's is not passed on."""

STREAM_ERRORS: dict[str, dict[str, SdkError]] = {
    "openai-chat": {
        "cut": SdkError("APIError", "", code="upstream_cut"),
        "overloaded": SdkError("APIError", "", code="overloaded"),
        "broken": SdkError("APIError", "", code="upstream_error"),
    },
    # "code" is one of a closed list. https://platform.openai.com/docs/api-reference/responses/object
    "openai-responses": {
        "cut": SdkError("response.failed", "", code="server_error"),
        "overloaded": SdkError("response.failed", "", code="server_is_overloaded"),
        "broken": SdkError("response.failed", "", code="server_error"),
    },
    # The SDK chooses the class by the status, which was sent before the error.
    "anthropic": {
        "cut": SdkError("APIStatusError", "", 200, code="api_error"),
        "overloaded": SdkError("APIStatusError", "", 200, code="overloaded_error"),
        "broken": SdkError("APIStatusError", "", 200, code="api_error"),
    },
    "gemini": {
        "cut": SdkError("ServerError", "", 502, code="INTERNAL"),
        "overloaded": SdkError("ServerError", "", 503, code="UNAVAILABLE"),
        "broken": SdkError("ServerError", "", 502, code="INTERNAL"),
    },
    # The SDK's status for an error without one.
    "ollama": {kind: SdkError("ResponseError", "", -1) for kind in ("cut", "overloaded", "broken")},
}
"""The exceptions by frontend and by what happened to the stream; the messages are in `MESSAGES`."""

UPSTREAM_CODES = {("openai-chat", "openai-responses"): "server_is_overloaded"}
"""The code of an overloaded provider, by frontend and provider, where both protocols' owner has a word of its own."""

MESSAGES = {"cut": "ended before its answer did", "overloaded": "too many keepers", "broken": "too many keepers"}

STREAM_STORIES = {"stream-cut": "cut", "stream-error-midway": "overloaded"}
"""The fault of the stream, by story."""

TEXT_ONLY_ERRORS = {"ollama"}
"""Protocols whose error in a stream is only a text. https://github.com/ollama/ollama/blob/main/docs/api.md"""

WITHOUT_HEADERS = {"ollama"}
"""Frontends whose SDK's exceptions have no headers."""

pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", DRIVERS)
def test_an_upstream_error_is_raised(session: SdkSession, provider: str, story: str, stream: bool) -> None:
    status = STORIES[story]
    failed = fail(session, story, settings_of(story, provider, stream=stream))
    assert_error(failed, session, status)
    message = upstream_message(story, provider)
    if story in PROXY_MESSAGES:
        assert PROXY_MESSAGES[story] in failed.message
        assert message not in failed.message
    else:
        assert failed.message == message
    assert session.recording.last.headers.get("retry-after") == ("7" if story == "error-429" else None)
    for recorded in session.recording.responses:
        assert SCENARIOS.providers[provider].auth.key.encode() not in recorded.body
        assert CLIENT_KEY.encode() not in recorded.body


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("frontend", DRIVERS)
def test_an_unknown_model_is_not_found(strict_session: SdkSession, stream: bool) -> None:
    settings = Settings("no-such-model", stream)
    with pytest.raises(strict_session.driver.errors) as caught:
        run_conversation(strict_session.driver, strict_session.client, (UserTurn("Hello!"),), settings)
    failed = strict_session.driver.parse_error(caught.value)
    assert_error(failed, strict_session, 404)
    assert "no-such-model" in failed.message


@pytest.mark.parametrize("story", STREAM_STORIES)
@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", DRIVERS)
def test_an_error_in_a_stream_is_raised(session: SdkSession, provider: str, story: str) -> None:
    """The events before the error arrive and are valid; the error is an exception and not an ordinary end."""
    failed = fail(session, story, settings_of(story, provider, stream=True))
    happened = STREAM_STORIES[story]
    if happened == "overloaded" and SCENARIOS.providers[provider].protocol in TEXT_ONLY_ERRORS:
        happened = "broken"
    expected = STREAM_ERRORS[session.driver.name][happened]
    code = UPSTREAM_CODES.get((session.driver.name, provider), expected.code) if happened != "cut" else expected.code
    assert (failed.kind, failed.status, failed.code) == (expected.kind, expected.status, code)
    assert MESSAGES[happened] in failed.message
    assert session.recording.last.status == 200
    *events, last = session.events(session.recording.last)
    for event in events:
        session.driver.validate_event(event)
    assert failed.message in last
    (exchange,) = SCENARIOS.stories[story].exchanges
    text, _ = expected_content(exchange.items_for(provider) or ())
    at = 0
    for word in text.split():
        at = "".join(events).index(word, at)
    done = session.driver.done_marker
    assert done is None or done.encode() not in session.recording.last.body


@pytest.mark.parametrize("provider", SCENARIOS.providers)
@pytest.mark.parametrize("frontend", ["openai-responses"])
def test_a_failed_response_is_not_mistaken_for_a_complete_one(session: SdkSession, provider: str) -> None:
    """The SDK delivers `response.failed` as an ordinary event; a user who ignores it gets a connection error."""
    settings = settings_of("stream-cut", provider, stream=True)
    question = user_turn_of(SCENARIOS.stories["stream-cut"].exchanges[0]).text
    kinds = []
    with pytest.raises(openai.APIConnectionError):  # noqa: PT012 - the exception must come after the events
        for event in session.client.responses.create(model=settings.model, input=question, stream=True):
            kinds.append(event.type)
    assert kinds[-1] == "response.failed"
    with pytest.raises((openai.APIConnectionError, ResponseFailed)):
        session.driver.send_with_helper(session.client, session.driver.add_turn([], UserTurn(question), None), settings)


# ---- checks ----------------------------------------------------------------------------------------------------------


def fail(session: SdkSession, story: str, settings: Settings) -> SdkError:
    """Plays a story that must fail; returns the SDK's exception."""
    turns = tuple(user_turn_of(exchange) for exchange in SCENARIOS.stories[story].exchanges)
    with pytest.raises(session.driver.errors) as caught:
        run_conversation(session.driver, session.client, turns, settings)
    assert len(session.recording.responses) == 1
    return session.driver.parse_error(caught.value)


def assert_error(failed: SdkError, session: SdkSession, status: int) -> None:
    """Checks the exception's class, status, code and headers."""
    expected = ERRORS[session.driver.name][status]
    assert failed.kind == expected.kind
    assert failed.status == session.recording.last.status == status
    if expected.code is not None:
        assert failed.code == expected.code
    if session.driver.name not in WITHOUT_HEADERS:
        assert failed.request_id == session.recording.last.headers["x-request-id"]
        assert failed.retry_after == session.recording.last.headers.get("retry-after")


def upstream_message(story: str, provider: str) -> str:
    """Returns the upstream's message, of the story or of its literal reply for the protocol."""
    (exchange,) = SCENARIOS.stories[story].exchanges
    raw = exchange.raw.get(SCENARIOS.providers[provider].protocol)
    if raw is not None:
        return str(raw.body["error"]["message"])
    (error,) = [item for item in exchange.items_for(provider) or () if isinstance(item, SayError)]
    return error.message
