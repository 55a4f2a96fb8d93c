"""The mock and the proxy as processes of their own: cells pass as in one process, and a process that ends is told."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.conformance.harness.child_process import ChildProcess, ServerEnded
from crosswire.conformance.harness.testbed import RejectedConfig, Testbed
from crosswire.conformance.harness.testbed_apart import LISTENING, TestbedApart
from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.conformance.matrix.result import Cell
from crosswire.conformance.matrix.runner import play_cell
from crosswire.conformance.test_invariants import fold_differences
from crosswire.mockserver.scenarios.folders import SHIPPED
from crosswire.mockserver.scenarios.loader import load_scenarios
from crosswire.mockserver.scenarios.story import FRAME, WHOLE

SCENARIOS = load_scenarios(SHIPPED)
MATRIX = read_expectations()
FRONTENDS = ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama")

# prints a line to each stream and ends
DIES = (sys.executable, "-c", "import sys; print('no room left'); print('on the disk', file=sys.stderr); sys.exit(7)")
HANGS = (sys.executable, "-c", "import time; print('still reading', flush=True); time.sleep(60)")


@pytest.fixture(scope="module")
def apart() -> Iterator[TestbedApart]:
    with TestbedApart(SCENARIOS, [SHIPPED]) as testbed:
        yield testbed


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize(
    ("provider", "story"), [("anthropic", "tools-parallel"), ("gemini", "reasoning-redacted"), ("ollama", "text")]
)
def test_a_stream_folds_to_the_unary_reply_however_it_is_cut(
    frontend: str, provider: str, story: str, apart: TestbedApart
) -> None:
    unary = apart.wait(play_cell(Cell(frontend, provider, story, stream=False), apart, SCENARIOS, MATRIX))
    assert unary.outcome != "fail", unary.reasons
    for write in (None, FRAME, WHOLE, 1):
        apart.wait(apart.cut_replies(write))
        streamed = apart.wait(play_cell(Cell(frontend, provider, story, stream=True), apart, SCENARIOS, MATRIX))
        assert (streamed.outcome, streamed.reasons) == (unary.outcome, unary.reasons), write
        assert fold_differences(unary, streamed) == [], write
    apart.wait(apart.cut_replies(None))


@pytest.mark.parametrize("story", ["route-breaker", "route-mode-alias", "error-429"])
def test_a_cell_apart_ends_as_in_one_process(story: str, apart: TestbedApart) -> None:
    provider = "route" if story.startswith("route") else "openai"
    cell = Cell("anthropic", provider, story, stream=True)
    result = apart.wait(play_cell(cell, apart, SCENARIOS, MATRIX))
    with Testbed(SCENARIOS) as here:
        other = here.wait(play_cell(cell, here, SCENARIOS, MATRIX))
    assert (result.outcome, result.losses, result.decision) == (other.outcome, other.losses, other.decision)
    assert result.outcome != "fail", result.reasons


def test_a_config_is_refused_with_the_proxys_words(apart: TestbedApart) -> None:
    with pytest.raises(RejectedConfig, match="protocol"):
        apart.wait(apart.start_proxy({"backends": {"a": {"protocol": "morse", "base_url": "http://127.0.0.1:1"}}}))


@pytest.mark.parametrize(("mock", "proxy", "name"), [(DIES, None, "the mock"), (None, DIES, "the proxy")])
def test_a_process_that_dies_at_its_start_is_told_with_exit_code_and_output(
    mock: tuple[str, ...] | None, proxy: tuple[str, ...] | None, name: str
) -> None:
    with (
        pytest.raises(ServerEnded, match=f"{name} did not start: it ended with exit code 7; it printed:") as told,
        TestbedApart(SCENARIOS, [SHIPPED], mock, proxy),
    ):
        pass
    assert {"no room left", "on the disk"} <= set(str(told.value).splitlines())


def test_a_process_that_never_listens_is_ended(tmp_path: Path) -> None:
    async def start() -> None:
        process = ChildProcess("the mock", HANGS, tmp_path / "out.txt")
        with pytest.raises(ServerEnded, match=r"the mock did not listen within 2 s; it printed:\nstill reading"):
            await process.start(LISTENING, 2)
        assert process.ending() is not None

    asyncio.run(start())


def test_a_process_that_ends_in_a_run_is_told() -> None:
    with TestbedApart(SCENARIOS, [SHIPPED]) as testbed:
        assert testbed.ending() is None
        (pid,) = (pid for name, pid in testbed.pids().items() if name == "the proxy")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(
            ServerEnded, match="the proxy is gone: it was ended by signal 9; it printed:\nListening on "
        ):
            testbed.wait(play_cell(Cell("openai-chat", "openai", "text", stream=False), testbed, SCENARIOS, MATRIX))


def test_both_processes_end_with_the_test_bed() -> None:
    with TestbedApart(SCENARIOS, [SHIPPED]) as testbed:
        pids = [pid for pid in testbed.pids().values() if pid is not None]
        assert len({*pids, os.getpid()}) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def run(code: str, *flags: str) -> tuple[int, str]:
    """Runs the matrix's command line after this code in a process of its own; returns exit code and output."""
    program = f"import sys\n{code}\nfrom crosswire.conformance.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "run", "--apart", "--story", "text", "--provider", "gemini", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    return done.returncode, done.stdout + done.stderr


def test_the_command_runs_cells_apart() -> None:
    code, out = run("")
    assert code == 0, out
    assert re.search(r"^10 cells: 10 right, 0 lossy by a vendor's limit, 0 refused, 0 failed$", out, re.MULTILINE)


def test_the_command_ends_where_a_server_does_not_start() -> None:
    code, out = run(f"from crosswire.conformance.harness import testbed_apart\ntestbed_apart.PROXY = {DIES!r}")
    assert code == 1
    assert "the proxy did not start: it ended with exit code 7; it printed:\nno room left\non the disk" in out
    assert out.count("did not start") == 1
