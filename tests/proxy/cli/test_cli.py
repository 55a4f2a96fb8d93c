"""The command line: what each command prints, and its exit code. `serve` runs as a program of its own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import resource
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from crosswire.proxy.cli.exit_codes import ENVIRONMENT, FAILED, OK, USAGE
from crosswire.proxy.cli.main import main
from crosswire.proxy.cli.serve import _welcome
from crosswire.proxy.config import from_environment, load
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.store import settings
from crosswire.proxy.store.database import Store

from ..proxy_fixture import KEY, config, one, read_answer, read_chunk, read_head, request
from ..sample_messages import TEXT, ask, dumps, in_band_error, reply, said, stream, text_of
from ..scripted_upstream import LAST, chunk, head, http, upstream

ROOT = Path(__file__).parents[3]

GOOD = """
backends:
  cloud:
    protocol: anthropic
    base_url: http://127.0.0.1:1
    api_key: sk-secret-of-cloud
    models: {fast: claude-x, slow: claude-y}
  home:
    protocol: ollama
    base_url: http://127.0.0.1:2
    capabilities: [text]
    priority: -1
"""

BAD = """
backends:
  cloud:
    protocol: antropic
    base_url: ftp://x
    url: http://x
  cloud2:
    protocol: gemini
    base_url: http://x
    models: 5
listen: nowhere
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)
    return file


def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes everything from the environment that makes a backend."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_HOST", "_BASE_URL")):
            monkeypatch.delenv(name)


# ---- check -----------------------------------------------------------------------------------------------------------


def test_check_of_a_good_config(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(good)]) == OK
    assert capsys.readouterr().out == f"{good}: no mistakes; 2 backends, 2 models\n"


def test_check_names_every_mistake_with_file_line_and_path(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(bad)]) == USAGE
    out = capsys.readouterr()
    assert out.out == ""
    found = [re.match(rf"{re.escape(str(bad))}:(\d+): (\S+?):? ", line) for line in out.err.splitlines()]
    assert all(found)
    assert [(int(match[1]), match[2]) for match in found if match] == [
        (4, "backends.cloud.protocol"),
        (5, "backends.cloud.base_url"),
        (6, "backends.cloud.url"),
        (10, "backends.cloud2.models"),
        (11, "listen"),
    ]
    assert "did you mean" in out.err


def test_check_prints_warnings_and_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text(GOOD.replace("http://127.0.0.1:2", "http://127.0.0.1:2/v1"))
    assert main(["check", str(file)]) == OK
    assert capsys.readouterr().out.startswith("warning: ")


def test_check_notes_what_means_something_else_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "old.yaml"
    file.write_text(f"{GOOD}retry: {{attempts: 1}}\n")
    assert main(["check", str(file)]) == OK
    assert "note: " in (out := capsys.readouterr().out)
    assert "retry.attempts: counts rounds" in out


@pytest.mark.parametrize("command", [["check"], ["serve", "--config"], ["explain", "--model", "m", "--config"]])
def test_a_file_that_is_not_there(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, str(tmp_path / "none.yaml")]) == USAGE
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_check_looks_for_a_config_here(
    good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(good.parent)
    without_keys(monkeypatch)
    assert main(["check"]) == USAGE
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-anthropic")
    assert main(["check"]) == OK
    assert capsys.readouterr().out == "the environment alone: no mistakes; 1 backend, 0 models\n"
    good.rename(good.with_name("crosswire.yaml"))
    assert main(["check"]) == OK
    assert main(["explain", "--model", "fast"]) == OK
    assert "fast -> cloud (claude-x)" in capsys.readouterr().out


def test_without_a_command_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == USAGE
    printed = capsys.readouterr().err
    assert "usage: crosswire" in printed
    assert "run the proxy" in printed


@pytest.mark.parametrize("args", ["sing", "convert --from openai-chat", "serve --port x"])
def test_a_wrong_call(args: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(args.split())
    assert ended.value.code == USAGE
    assert "usage: crosswire" in capsys.readouterr().err


# ---- explain ---------------------------------------------------------------------------------------------------------

EXPLAINED: dict[str, tuple[list[str], int, str]] = {
    "mapped": (
        ["--model", "fast"],
        OK,
        """\
fast -> cloud (claude-x)
mode: model_mapping; the models of 'cloud' name it
added: max_tokens = 8192, the default for a model whose most is not known
  ✓ cloud  claude-x  its models name this model
  ✗ home   fast  the model is mapped to another backend
""",
    ),
    "not mapped": (
        ["--model", "llama"],
        OK,
        """\
llama -> home (llama)
mode: explicit; no mapping; 'home' is the first by priority that fits
  ✗ cloud  -  does not serve this model
  ✓ home   llama  fits, and is the first by priority
""",
    ),
    "not capable": (
        ["--model", "llama", "--tools"],
        FAILED,
        """\
llama is refused with 400: No backend can serve the model 'llama' as this request asks: home: lacks tools.
mode: failed; no backend that serves this model has the capabilities
  ✗ cloud  -  does not serve this model
  ✗ home   llama  lacks tools
""",
    ),
    "pinned": (
        ["--model", "fast", "--pin", "home"],
        OK,
        """\
fast -> home (fast)
mode: pin; pinned to 'home'
  ✗ cloud  -  the request names another backend
  ✓ home   fast  the request pins it
""",
    ),
    "down": (
        ["--model", "fast", "--down", "cloud"],
        FAILED,
        """\
fast is refused with 503: No backend may serve the model 'fast' right now: cloud: is thought of as down.
mode: failed; who could serve this model is down
  ✗ cloud  claude-x  is thought of as down
  ✗ home   -  the model is mapped to another backend
""",
    ),
    "no such mode": (
        ["--model", "fast", "--mode", "eco"],
        FAILED,
        """\
fast is refused with 400: No mode is called 'eco'; this proxy has none.
mode: failed; the mode that the client asks for is none
  ✗ cloud  -  the request was not understood, so nobody is asked
  ✗ home   -  the request was not understood, so nobody is asked
""",
    ),
    "the last resort": (
        ["--model", "llama", "--needs", "vision", "--backend", "cloud"],
        OK,
        """\
llama -> cloud (llama)
mode: failed; nothing fits; 'cloud' is the last resort
added: max_tokens = 8192, the default for a model whose most is not known
  ✓ cloud  llama  nothing fits, and it is the last resort
  ✗ home   llama  lacks vision
""",
    ),
}


@pytest.mark.parametrize(("args", "code", "printed"), EXPLAINED.values(), ids=EXPLAINED)
def test_explain(good: Path, args: list[str], code: int, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", str(good), *args]) == code
    assert capsys.readouterr().out == printed


def test_explain_as_json(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", str(good), "--model", "fast", "--json", "--prompt", "Why?"]) == OK
    found = json.loads(capsys.readouterr().out)
    assert found["chosen"] == found["chain"][0] == found["considered"][0]
    assert (found["model"], found["mode"], found["needs"]) == ("fast", "model_mapping", ["text"])


@pytest.mark.parametrize("source", ["file", "-"])
def test_explain_of_a_whole_request(
    source: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"model": "fast", "instructions": "Read what is said. " * 400, "input": "Hello!"}
    (tmp_path / "body.json").write_text(json.dumps(body))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(body).encode())))
    file = str(tmp_path / "body.json") if source == "file" else source
    words = ["--request", file, "--frontend", "openai-responses", "--user-agent", "codex_exec/0.1"]
    assert main(["explain", "--config", str(good), *words]) == OK
    printed = capsys.readouterr().out
    assert "fast -> cloud (claude-x)" in printed
    assert "added: system[0].cache_control = ephemeral" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--model: is required, unless --request has it\n"),
        (["--request", "none.json"], "--request: none.json cannot be read: No such file or directory\n"),
        (["--request", "body.json", "--tools"], "--tools: cannot be combined with request; keep one of them\n"),
        (["--request", "broken.json"], "--request: not valid JSON: "),
    ],
)
def test_explain_says_what_is_wrong(
    words: list[str],
    said: str,
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "body.json").write_text(json.dumps(ask("openai-chat", "fast")))
    (tmp_path / "broken.json").write_text("{model: fast}")
    assert main(["explain", "--config", str(good), *words]) == USAGE
    assert capsys.readouterr().err.startswith(said)


def test_explain_shows_what_is_known_of_the_model(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", str(good), "--model", "o3", "--pin", "home"]) == OK
    assert "trait: refuses stop: stop sequences\n" in capsys.readouterr().out


# ---- traits ----------------------------------------------------------------------------------------------------------


def test_traits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["traits", "mistral-large", "--provider", "Mistral"]) == OK
    printed = capsys.readouterr().out
    assert printed.startswith("mistral-large\n")
    assert "  renames seed to random_seed: the name of the seed\n" in printed
    assert main(["traits", "my-model"]) == OK
    assert capsys.readouterr().out == "my-model: nothing is known; it is taken to follow its protocol\n"


def test_traits_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["traits", "gpt-5-chat-latest", "--json"]) == OK
    (row,) = json.loads(capsys.readouterr().out)
    assert row.keys() == {"models", "efforts", "source", "date"}


def test_traits_with_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(GOOD + "traits: {o3: {takes: [stop]}}\n")
    assert main(["traits", "o3", "--config", str(file)]) == OK
    printed = capsys.readouterr().out
    assert "refuses stop" not in printed
    assert "source: the config\n" in printed


def test_traits_of_a_provider_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["traits", "m", "--provider", "mistrel"]) == USAGE
    assert "no provider is called 'mistrel'" in capsys.readouterr().err


def test_explain_with_a_backend_down_that_is_none(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", str(good), "--model", "m", "--down", "clowd"]) == USAGE
    assert capsys.readouterr().err == "--down: names an unknown backend; known: cloud, home\n"


def test_explain_without_a_config_or_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    without_keys(monkeypatch)
    assert main(["explain", "--model", "m"]) == USAGE
    assert "OPENAI_API_KEY" in capsys.readouterr().err
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-anthropic")
    assert main(["explain", "--model", "claude-x"]) == OK
    assert "claude-x -> anthropic (claude-x)" in capsys.readouterr().out


def test_explain_with_a_backend_that_is_none(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", str(good), "--model", "m", "--backend", "clowd"]) == USAGE
    assert "--backend: no backend is called 'clowd'; did you mean" in capsys.readouterr().err


# ---- convert ---------------------------------------------------------------------------------------------------------


def convert(monkeypatch: pytest.MonkeyPatch, body: bytes, *args: str) -> int:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(body)))
    return main(["convert", *args])


def test_convert_prints_the_body_and_the_losses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = dumps(ask("openai-chat", seed=7, stop=["END"], text="Grüße 模"))
    assert convert(monkeypatch, body, "--from", "openai-chat", "--to", "anthropic", "--model", "claude-x") == OK
    out = capsys.readouterr()
    payload = json.loads(out.out)
    assert (payload["model"], payload["stop_sequences"]) == ("claude-x", ["END"])
    assert "Grüße 模" in out.out
    assert out.err == "loss: seed dropped at sampling.seed\n"


@pytest.mark.parametrize("target", PROTOCOLS)
@pytest.mark.parametrize("source", PROTOCOLS)
def test_convert_every_pair(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(monkeypatch, dumps(ask(source)), "--from", source, "--to", target) == OK
    out = capsys.readouterr()
    assert "Say hello." in out.out
    assert json.loads(out.out)
    assert out.err == "no losses\n"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff", b'{"a":' + b"[" * 50_000])
def test_convert_what_is_no_request(
    body: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(monkeypatch, body, "--from", "openai-chat", "--to", "gemini") == USAGE
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.startswith("not a openai-chat request: ")


# ---- serve -----------------------------------------------------------------------------------------------------------


class Program:
    """`crosswire serve` as a process; what it printed until it was up is in `welcome`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, welcome: str) -> None:
        self.process = process
        self.port = port
        self.welcome = welcome

    async def send(self, raw: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(raw)
        return reader, writer

    async def ask(self, raw: bytes) -> Any:
        reader, writer = await self.send(raw)
        try:
            return await read_answer(reader)
        finally:
            writer.close()

    async def drains(self) -> Any:
        """Returns the answer of /readyz once the signal has arrived, which may take a moment."""
        answer = None
        for _ in range(500):
            answer = await self.ask(request("/readyz", None))
            if answer.status != 200:
                break
            await asyncio.sleep(0.01)
        return answer

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """The exit code, and what stood on standard error."""
        self.process.send_signal(how)
        return await self.ended()

    async def ended(self) -> tuple[int, str]:
        async with asyncio.timeout(10):
            _, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, (err or b"").decode()


async def rest(reader: asyncio.StreamReader) -> None:
    """Read to the last chunk."""
    while await read_chunk(reader) is not None:
        pass


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


async def start(
    *args: str, env: dict[str, str] | None = None, stderr: int = asyncio.subprocess.PIPE
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "crosswire.proxy", "serve", *args),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", **(env or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
    )


@contextlib.asynccontextmanager
async def serving(
    tmp_path: Path,
    backends: dict[str, Any],
    *args: str,
    env: dict[str, str] | None = None,
    stderr: int = asyncio.subprocess.PIPE,
    **settings: Any,
) -> AsyncIterator[Program]:
    file = tmp_path / "crosswire.yaml"
    full = {name: {"api_key": KEY, **keys} for name, keys in backends.items()}
    # the upstreams of these tests answer one request after the other, and none of them lists models
    file.write_text(json.dumps({"backends": full, "model_lists_s": 0, **settings}))
    process = await start("--config", str(file), "--port", "0", *args, env=env, stderr=stderr)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            welcome = (await process.stdout.readuntil(b"curl ")).decode()
            welcome += (await process.stdout.readline()).decode()
        port = re.search(r"http://127\.0\.0\.1:(\d+)\n", welcome)
        assert port, welcome
        yield Program(process, int(port[1]), welcome)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_the_start_up_output_and_its_curl_line(tmp_path: Path) -> None:
    async with upstream([http(dumps(reply("anthropic", "up-1")))]) as up:
        backends = one("anthropic", up.url, models={"it's fast": "up-1", "slow": "slow"})
        async with serving(tmp_path, backends) as it:
            for protocol in PROTOCOLS.values():
                assert protocol.title in it.welcome
            assert f"http://127.0.0.1:{it.port}/v1/messages" in it.welcome
            assert "  it's fast -> b (up-1)\n  slow      -> b (slow)\n" in it.welcome
            assert KEY not in it.welcome
            line = it.welcome[it.welcome.index("curl ") :].strip()
            curl = await asyncio.create_subprocess_shell(
                f"{line} --silent --show-error", stdout=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(10):
                out, _ = await curl.communicate()
            assert curl.returncode == 0
            assert text_of("openai-chat", out) == TEXT
            assert json.loads(out)["model"] == "it's fast"
            code, err = await it.stop()
    assert (code, err) == (0, "")  # and without -v nothing was said of the request


def test_the_curl_line_of_other_configs() -> None:
    families = from_environment({"GEMINI_API_KEY": "sk-secret-of-gemini"})
    shown = _welcome(families, 9001)
    assert re.search(r"^  gemini-\* +-> gemini \(the same\)$", shown, re.MULTILINE)
    assert '"model": "gemini-2.5-flash"' in shown
    assert "sk-secret" not in shown
    anything = _welcome(config(one("ollama", "http://x", default_model="llama"), listen="0.0.0.0:80", open=True), 80)
    assert "  any -> b (llama)" in anything
    words = shlex.split(anything[anything.index("curl ") :])
    assert words[1] == "http://127.0.0.1:80/v1/chat/completions"
    assert json.loads(words[-1])["model"] == "llama"
    assert "curl http://[::1]:9001/" in _welcome(config(one("ollama", "http://x"), listen="[::1]:9001"), 9001)


def test_the_welcome_of_a_proxy_with_keys() -> None:
    clients = {"ada": {"key": "cw-ada-0123456789abcdef"}}
    admin_key = "admin-0123456789abcdef"
    shown = _welcome(config(one("ollama", "http://x"), clients=clients, admin_key=admin_key), 9001)
    assert '-H "authorization: Bearer $CROSSWIRE_KEY"' in shown
    assert "http://127.0.0.1:9001/ui" in shown
    assert "0123456789abcdef" not in shown
    assert "/ui" not in _welcome(config(one("ollama", "http://x")), 9001)


def test_the_welcome_shows_where_each_model_goes() -> None:
    text = (
        GOOD
        + """
routes:
  - {match: "gpt-*", backend: home, model: llama, fallback: [cloud]}
  - {match: slow, to: [cloud]}
smart: {auto: {cheap: {backend: home, model: a}, primary: {backend: cloud, model: b}}}
"""
    )
    shown = _welcome(load(text, "c.yaml", {}), 9001)
    for line in ("slow  -> cloud (claude-y)", "gpt-* -> home (llama)", "auto  -> home or cloud (by score)"):
        assert f"  {line}\n" in shown


async def test_verbose_log_lines(tmp_path: Path) -> None:
    async with upstream([http(dumps(reply("anthropic")))]) as up:
        backends = one("anthropic", up.url, provider="anthropic", models={"fast": "up-1"})
        async with serving(tmp_path, backends, "-v") as it:
            assert (await it.ask(request("/v1/chat/completions", ask("openai-chat", "fast")))).status == 200
            code, err = await it.stop(signal.SIGINT)
    assert code == 0
    lines = [line.split(" ", 2)[2] for line in err.splitlines()]
    assert lines == [
        "OpenAI chat completions request for model: fast",
        "✓ Model 'fast' mapped to backend 'b'",
        "✓ Backend 'b' supports required capabilities",
        "Routing fast to b",
        "Anthropic Request: up-1",
        "Anthropic Success: up-1",
    ]


async def test_the_stage_log(tmp_path: Path) -> None:
    log = tmp_path / "stages.jsonl"
    async with (
        upstream([http(dumps(reply("anthropic")))]) as up,
        serving(tmp_path, one("anthropic", up.url), "--log-file", str(log)) as it,
    ):
        assert (await it.ask(request("/api/chat", ask("ollama")))).status == 200
        assert (await it.stop())[0] == 0
    found = [json.loads(line)["stage"] for line in log.read_text().splitlines()]
    assert found == ["client_request", "backend_request", "backend_response", "client_response"]


async def test_the_records_as_files(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "records"
    async with (
        upstream([http(dumps(reply("anthropic")))]) as up,
        serving(tmp_path, one("anthropic", up.url), "--records", str(folder)) as it,
    ):
        answers = [await it.ask(request("/api/chat", ask("ollama"))) for _ in range(2)]
        assert (await it.stop())[0] == 0
    records = [json.loads(file.read_text()) | {"file": file.stem} for file in folder.iterdir()]
    assert {record["request_id"] for record in records} == {answer.headers["x-request-id"] for answer in answers}
    for record in records:
        assert re.fullmatch(r"exec_\d{8}_\d{6}_[0-9a-f]{8}", record["id"])
        assert record["file"] == record["id"]
        assert (record["backend_used"], record["model_used"], record["mode"]) == ("b", "m", "auto")
        assert sum(stage["ms"] for stage in record["stages"]) <= record["total_ms"]
    assert KEY not in str(records)


async def test_a_new_config_at_a_signal_and_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "crosswire.yaml"
    async with (
        upstream([http(dumps(reply("anthropic")))]) as up,
        serving(tmp_path, one("anthropic", up.url, models={"old": "old"}), reload_s=0, reload_settle_s=0.01) as it,
    ):
        config = json.loads(file.read_text())
        for name, settings, asked in (("new", {"reload_s": 0.02}, True), ("newest", {"reload_s": 0}, False)):
            config["backends"]["b"]["models"] = {name: name}
            file.write_text(json.dumps(config | settings))
            if asked:
                it.process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(10):
                while name.encode() not in (await it.ask(request("/v1/models", None))).body:
                    pass
        file.write_text("backends: {b: {protocol: anthropc}}")
        it.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while b"errors" not in (await it.ask(request("/readyz", None))).body:
                pass
        assert b"newest" in (await it.ask(request("/v1/models", None))).body
        code, err = await it.stop()
    assert code == 0
    assert "did you mean anthropic?" in err


async def test_a_store_that_goes_away_is_said_and_its_last_content_serves(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path}/s.db", tmp_path / "crosswire.yaml"
    settings = {"store": url, "store_poll_s": 0.02, "reload_settle_s": 0.01}

    async def until_ready_says(it: Program, words: bytes) -> None:
        async with asyncio.timeout(10):
            while words not in (await it.ask(request("/readyz", None))).body:
                pass

    def on_store(*argv: str) -> int:
        return main([argv[0], "--store", url, "--config", str(file), *argv[1:]])

    async with upstream([http(dumps(reply("anthropic")))]) as up:
        file.write_text(json.dumps({"backends": one("anthropic", up.url)}))
        assert await asyncio.to_thread(on_store, "mappings", "add", "small", "b", "--model", "m-1") == OK
        async with serving(tmp_path, one("anthropic", up.url), **settings) as it:
            (tmp_path / "s.db").rename(tmp_path / "away")
            await until_ready_says(it, b"is gone, though it was there before; what was read from it before serves on")
            metrics = (await it.ask(request("/metrics", None))).body
            file.write_text(file.read_text().replace('"store_poll_s"', '"keepalive_s": 3, "store_poll_s"'))
            it.process.send_signal(signal.SIGHUP)
            for _ in range(3):
                answer = await it.ask(request("/v1/messages", ask("anthropic", "small")))
                assert (answer.status, answer.headers["x-crosswire-model"]) == (200, "m-1")
            (tmp_path / "away").rename(tmp_path / "s.db")
            await until_ready_says(it, b"ready\n")
            while (await it.ask(request("/readyz", None))).body != b"ready\n":
                pass
            good = (await it.ask(request("/metrics", None))).body
            code, err = await it.stop()
    assert b"crosswire_store_good 0.0" in metrics
    assert b"crosswire_store_good 1.0" in good
    assert (code, err.count("serves on"), err.count("can be used again")) == (0, 1, 1)


async def test_a_graceful_shutdown(tmp_path: Path) -> None:
    """A running stream ends as it would; meanwhile /readyz says 503, and a new request hears why."""
    gate = asyncio.Event()
    frames = stream("anthropic")
    script = [head(), *(chunk(f) for f in frames[:3]), gate, *(chunk(f) for f in frames[3:]), LAST]
    async with upstream(script) as up, serving(tmp_path, one("anthropic", up.url)) as it:
        reader, writer = await it.send(request("/v1/messages", ask("anthropic", stream=True)))
        assert (await read_head(reader))[0] == 200
        body = await read_chunk(reader) or b""
        it.process.send_signal(signal.SIGTERM)
        ready = await it.drains()
        assert (ready.status, ready.body) == (503, b"draining\n")
        assert (await it.ask(request("/livez", None))).status == 200
        refused = await it.ask(request("/v1/chat/completions", ask("openai-chat")))
        assert refused.status == 503
        assert it.process.returncode is None
        gate.set()
        while (piece := await read_chunk(reader)) is not None:
            body += piece
        writer.close()
        code, err = await it.ended()
    assert said("anthropic", body) == TEXT
    assert code == 0
    assert "draining" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("how", ["time is over", "a second signal"])
@pytest.mark.parametrize("backend", ["anthropic", "openai-chat"])
async def test_a_shutdown_that_does_not_wait_for_ever(tmp_path: Path, how: str, backend: str) -> None:
    """A stream that has begun ends with an error in band and a break, converted and relayed."""
    script = [head(), *(chunk(f) for f in stream(backend)[:3]), "hold"]
    drain = 0.1 if how == "time is over" else 60
    async with upstream(script) as up, serving(tmp_path, one(backend, up.url), drain_s=drain) as it:
        reader, writer = await it.send(request("/v1/messages", ask("anthropic", stream=True)))
        assert (await read_head(reader))[0] == 200
        body = await read_chunk(reader) or b""
        it.process.send_signal(signal.SIGTERM)
        if how == "a second signal":
            assert (await it.drains()).status == 503
            it.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while (piece := await read_chunk(reader)) is not None:
                body += piece
            pytest.fail("the stream ended as if it were whole")
        code, err = await it.ended()
        writer.close()
        async with asyncio.timeout(1):
            await up.left.wait()
    assert "shutting down" in in_band_error("anthropic", body)
    assert code == 0
    assert "Traceback" not in err


async def test_a_request_without_an_answer_is_told_that_the_proxy_stops(tmp_path: Path) -> None:
    async with upstream(["hold"]) as up, serving(tmp_path, one("anthropic", up.url), drain_s=0.1) as it:
        reader, writer = await it.send(request("/v1/messages", ask("anthropic")))
        await asyncio.wait_for(up.heard.wait(), 10)
        it.process.send_signal(signal.SIGTERM)
        answer = await read_answer(reader)
        writer.close()
        assert (await it.ended())[0] == 0
    assert (answer.status, b"shutting down" in answer.body) == (529, True)


async def test_a_killed_proxy_starts_again(tmp_path: Path) -> None:
    """After SIGKILL in the middle of a stream the next start has the port and the store."""
    script = [head(), *(chunk(f) for f in stream("anthropic")[:3]), "hold"]
    url, port = f"sqlite:///{tmp_path}/s.db", 0
    for count in (1, 2, 3):
        async with upstream(script) as up:
            backends, store = one("anthropic", up.url), {"url": url, "create": True}
            async with serving(tmp_path, backends, "--port", str(port), store=store) as it:
                port = it.port
                written = Store(url, {})
                async with written.writing() as connection:
                    await settings.add(connection, "keepalive_s", str(count))
                assert await written.revision() == count
                await written.close()
                reader, writer = await it.send(request("/v1/messages", ask("anthropic", stream=True)))
                assert (await read_head(reader))[0] == 200
                it.process.kill()
                await it.process.communicate()
                writer.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_proxy_stops_at_once(tmp_path: Path, how: signal.Signals) -> None:
    async with serving(tmp_path, one("ollama", "http://127.0.0.1:1")) as it:
        _, writer = await it.send(request("/livez", None, {"connection": "keep-alive"}))
        assert await it.stop(how) == (0, "")
        writer.close()


@pytest.fixture
def stalled(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A full pipe that nobody reads, and a descriptor to write to it: what a stalled disk is for a process."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    yield pipe, writer
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("what", ["the stage log", "standard error"])
async def test_a_stalled_log_stops_neither_requests_nor_the_end(
    tmp_path: Path, stalled: tuple[Path, int], what: str
) -> None:
    pipe, writer = stalled
    err = writer if what == "standard error" else asyncio.subprocess.PIPE
    args = ["-v"] if what == "standard error" else ["--log-file", str(pipe)]
    async with (
        upstream([http(dumps(reply("anthropic")))]) as up,
        serving(tmp_path, one("anthropic", up.url), *args, stderr=err, log_buffer=20_000, log_end_s=0.1) as it,
    ):
        body = ask("anthropic", text="x" * 10_000)
        for _ in range(20):
            assert (await it.ask(request("/v1/messages", body))).status == 200
        if what == "the stage log":
            metrics = (await it.ask(request("/metrics", None))).body.decode()
            found = re.search(r'crosswire_log_dropped_total{log="stage log"} ([0-9.]+)', metrics)
            assert found
            assert float(found[1]) > 40
        code, _ = await it.stop()
    assert code == 0


async def test_a_shutdown_that_something_holds_up_ends_by_force(tmp_path: Path, stalled: tuple[Path, int]) -> None:
    pipe, _ = stalled
    backends = one("ollama", "http://127.0.0.1:1")
    limits = {"drain_s": 0, "exit_s": 0.3, "log_end_s": 60}
    async with serving(tmp_path, backends, "--log-file", str(pipe), **limits) as it:
        assert (await it.ask(request("/api/chat", b"{"))).status == 400
        code, err = await it.stop()
    assert code == FAILED
    assert "the shutdown took too long" in err


async def test_a_stalled_standard_error_holds_no_forced_end_up(tmp_path: Path, stalled: tuple[Path, int]) -> None:
    pipe, writer = stalled
    limits = {"drain_s": 0, "exit_s": 0.3, "log_end_s": 60}
    backends = one("ollama", "http://127.0.0.1:1")
    async with serving(tmp_path, backends, "--log-file", str(pipe), stderr=writer, **limits) as it:
        assert (await it.ask(request("/api/chat", b"{"))).status == 400
        code, _ = await it.stop()
    assert code == FAILED


async def test_log_files_of_a_full_disk_go_on_once_there_is_room(tmp_path: Path) -> None:
    """The disk's end is a limit of the process here, which is raised while it runs."""
    log, folder = tmp_path / "s.jsonl", tmp_path / "r"
    args = ("--log-file", str(log), "--records", str(folder))
    async with (
        upstream([http(dumps(reply("anthropic")))]) as up,
        serving(tmp_path, one("anthropic", up.url), *args) as it,
    ):
        body = ask("anthropic", text="x" * 3000)
        _, hard = resource.prlimit(it.process.pid, resource.RLIMIT_FSIZE)
        for limit, lost in ((100, True), (hard, False)):
            resource.prlimit(it.process.pid, resource.RLIMIT_FSIZE, (limit, hard))
            answer = await it.ask(request("/v1/messages", body))
            assert answer.status == 200
            if lost:
                async with asyncio.timeout(10):
                    for lost_entries in (b'{log="stage log"} 4.0', b'{log="files of records"} 1.0'):
                        while lost_entries not in (await it.ask(request("/metrics", None))).body:
                            pass
        code, err = await it.stop()
    assert code == 0
    assert err.count("loses entries") == 2
    assert err.count("is written again") == 2
    first, *lines = log.read_text().splitlines()
    assert len(first) == 100  # what the full disk took of the first line; after it every line is whole
    assert [json.loads(line)["stage"] for line in lines][-1] == "client_response"
    for file in folder.iterdir():
        assert json.loads(file.read_bytes())["id"] == file.stem
    assert answer.headers["x-request-id"] in {json.loads(file.read_bytes())["request_id"] for file in folder.iterdir()}


async def test_broken_streams_leave_no_trace_in_the_log(tmp_path: Path) -> None:
    """On the loop and the transport of production: a broken upstream, a client that leaves, bytes that are no HTTP."""
    scripts = [[head(), *(chunk(f) for f in stream("openai-chat")[:3]), "reset"], ["hold"]]
    async with upstream(*scripts) as up, serving(tmp_path, one("openai-chat", f"{up.url}/v1")) as it:
        answer = await it.ask(request("/v1/messages", ask("anthropic", stream=True)))
        assert not answer.whole
        assert in_band_error("anthropic", answer.body)
        _, writer = await it.send(request("/v1/messages", ask("anthropic")))
        while len(up.requests) < 2:
            up.heard.clear()
            await up.heard.wait()
        writer.close()
        async with asyncio.timeout(1):
            await up.left.wait()
        assert (await it.ask(b"\x16\x03\x01 nonsense\r\n\r\n")).status == 400
        assert (await it.ask(request("/livez", None))).status == 200
        code, err = await it.stop()
    (failed,) = err.splitlines()
    assert code == 0
    assert "backend b at http://127.0.0.1:" in failed  # the broken upstream is told, in one line


async def test_a_port_that_is_taken(good: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await start("--config", str(good), "--port", str(port))
        async with asyncio.timeout(20):
            _, err = await process.communicate()
    assert process.returncode == ENVIRONMENT
    assert err.decode().startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert "--port" in err.decode()


async def test_a_log_file_that_cannot_be_written(good: Path, tmp_path: Path) -> None:
    process = await start("--config", str(good), "--port", str(free_port()), "--log-file", str(tmp_path / "no" / "x"))
    async with asyncio.timeout(20):
        _, err = await process.communicate()
    assert process.returncode == ENVIRONMENT
    assert err.decode().startswith("--log-file, --records, access_log: ")
    assert err.decode().count("\n") == 1


async def test_a_bad_config_is_not_served(bad: Path) -> None:
    process = await start("--config", str(bad))
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert (process.returncode, out) == (USAGE, b"")
    assert err.decode().count(str(bad)) == 5


async def test_without_a_config_the_environment_is_one(tmp_path: Path) -> None:
    async with upstream([http(dumps(reply("ollama")))]) as up:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "crosswire.proxy", "serve", "--port", "0"),
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OLLAMA_HOST": up.url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(20):
            welcome = (await process.stdout.readuntil(b"curl ")).decode() + (await process.stdout.readline()).decode()
        assert "  * -> ollama (the same)" in welcome
        words = shlex.split(welcome[welcome.index("curl ") :])
        port = urlsplit(words[1]).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/v1/chat/completions", words[-1].encode()))
        assert text_of("openai-chat", (await read_answer(reader)).body) == TEXT
        writer.close()
        process.terminate()
        await process.communicate()
    assert process.returncode == 0
