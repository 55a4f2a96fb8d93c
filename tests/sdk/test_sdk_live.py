"""The official SDKs before the local model: whatever it says, their types hold it and their users get it whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drivers import DRIVERS
from drivers.desk import Desk, desk_at
from drivers.driver import Ask, Output, Settings, converse

from conformance.bench import Bench
from conformance.live import LIVE, can_run, read_live

pytestmark = pytest.mark.skipif(
    not can_run(), reason="the extra `local` is not installed: MLX has no wheels for this platform"
)


@pytest.fixture(scope="module")
def live_url(bench: Bench) -> str:
    """A proxy with no other backend than the local model."""
    backend = {"protocol": LIVE, "models": read_live().models}
    return bench.wait(bench.start_proxy({"listen": "127.0.0.1:0", "backends": {LIVE: backend}}))


@pytest.fixture
def live_desk(frontend: str, live_url: str) -> Iterator[Desk]:
    desk = desk_at(frontend, live_url)
    yield desk
    desk.client.close()


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("frontend", DRIVERS)
def test_the_sdk_talks_with_a_real_model(live_desk: Desk, stream: bool) -> None:
    settings = Settings("mlx-tiny", stream=stream, max_tokens=80)
    asks = (Ask("Count to 4."), Ask("My name is Ada."), Ask("Count to 3."))
    answers = converse(live_desk.driver, live_desk.client, asks, settings)
    assert [answers[0].text, answers[2].text] == ["1, 2, 3, 4", "1, 2, 3"]
    assert {answer.stop for answer in answers} == {live_desk.driver.stops["end"]}
    for taken in live_desk.tape.taken:
        assert (taken.status, taken.headers["x-crosswire-backend"]) == (200, LIVE)
        live_desk.judge(taken, stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("frontend", DRIVERS)
def test_the_sdk_calls_and_answers(live_desk: Desk, stream: bool) -> None:
    settings = Settings("mlx-tiny", stream=stream, max_tokens=80, tools=("weather",))
    asks = (Ask("What is the weather in Oslo?"), Ask(outputs=(Output("12 degrees"),)))
    called, told = converse(live_desk.driver, live_desk.client, asks, settings)
    assert [(call.name, call.arguments) for call in called.calls] == [("weather", {"city": "Oslo"})]
    assert called.stop == live_desk.driver.stops["tool"]
    assert told.text
    assert told.stop == live_desk.driver.stops["end"]
    for taken in live_desk.tape.taken:
        live_desk.judge(taken, stream=stream)
