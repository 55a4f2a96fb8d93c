"""The official SDKs with the local model: its answers are complete and valid by the SDKs' types."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crosswire.conformance.harness.testbed import Testbed
from crosswire.conformance.local_model.expectations import LOCAL_PROVIDER, is_installed, read_local_expectations

from .drivers import DRIVERS
from .drivers.driver import Settings, ToolOutput, UserTurn, run_conversation
from .drivers.session import SdkSession, open_session

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="the extra `local` is not installed: MLX has no wheels for this platform"
)


@pytest.fixture(scope="module")
def live_url(bench: Testbed) -> str:
    """Starts a proxy whose only backend is the local model."""
    backend = {"protocol": LOCAL_PROVIDER, "models": read_local_expectations().models}
    return bench.wait(bench.start_proxy({"listen": "127.0.0.1:0", "backends": {LOCAL_PROVIDER: backend}}))


@pytest.fixture
def live_session(frontend: str, live_url: str) -> Iterator[SdkSession]:
    session = open_session(frontend, live_url)
    yield session
    session.client.close()


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("frontend", DRIVERS)
def test_a_conversation_with_a_real_model(live_session: SdkSession, stream: bool) -> None:
    settings = Settings("mlx-tiny", stream=stream, max_tokens=80)
    turns = (UserTurn("Count to 4."), UserTurn("My name is Ada."), UserTurn("Count to 3."))
    answers = run_conversation(live_session.driver, live_session.client, turns, settings)
    assert [answers[0].text, answers[2].text] == ["1, 2, 3, 4", "1, 2, 3"]
    assert {answer.stop for answer in answers} == {live_session.driver.stop_reasons["end"]}
    for recorded in live_session.recording.responses:
        assert (recorded.status, recorded.headers["x-crosswire-backend"]) == (200, LOCAL_PROVIDER)
        live_session.validate(recorded, stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("frontend", DRIVERS)
def test_a_tool_call_and_its_result(live_session: SdkSession, stream: bool) -> None:
    settings = Settings("mlx-tiny", stream=stream, max_tokens=80, tools=("weather",))
    turns = (UserTurn("What is the weather in Oslo?"), UserTurn(outputs=(ToolOutput("12 degrees"),)))
    called, answered = run_conversation(live_session.driver, live_session.client, turns, settings)
    assert [(call.name, call.arguments) for call in called.calls] == [("weather", {"city": "Oslo"})]
    assert called.stop == live_session.driver.stop_reasons["tool"]
    assert answered.text
    assert answered.stop == live_session.driver.stop_reasons["end"]
    for recorded in live_session.recording.responses:
        live_session.validate(recorded, stream=stream)
