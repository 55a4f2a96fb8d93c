"""Command line of the mock: output and exit status."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import aiohttp
import pytest

from crosswire.mockserver.__main__ import main
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from tests.mockserver.in_process_mock import FOLDER


def test_check_of_valid_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(FOLDER)]) == 0
    assert re.fullmatch(r"\d+ providers, \d+ stories, no mistakes\n", capsys.readouterr().out)


def test_check_names_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(FOLDER, tmp_path / "s")
    story = tmp_path / "s" / "stories" / "text.yaml"
    story.write_text(story.read_text() + "extra: 1\nwhy: again\n")
    lines = len(story.read_text().splitlines())
    for arguments in (["check", str(tmp_path / "s")], [str(tmp_path / "s")]):
        assert main(arguments) == 1
        printed = capsys.readouterr().err
        assert f"{story}:{lines - 1}: $.extra: unknown key" in printed
        assert f"{story}:{lines}: $.why: duplicate key" in printed
        assert printed.endswith("2 mistakes\n")


BOMBS: dict[str, tuple[str, str]] = {
    "a billion laughs": (
        "a0: &a0 [l, l, l, l, l, l, l, l, l, l]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)),
        "more than 100000 values",
    ),
    "an alias within its own anchor": ("why: &a [*a]\n", "nested too deeply"),
    "50,000 deep": ("[" * 50_000, "nested too deeply"),
}


@pytest.mark.parametrize(("text", "message"), BOMBS.values(), ids=BOMBS)
def test_check_of_a_file_that_expands_without_end(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FOLDER, tmp_path / "s")
    story = tmp_path / "s" / "stories" / "text.yaml"
    story.write_text(text)
    assert main(["check", str(tmp_path / "s")]) == 1
    printed = capsys.readouterr().err
    assert f"{story}:" in printed
    assert f"invalid YAML: {message}" in printed


@pytest.mark.parametrize("arguments", [["check", "nowhere"], ["nowhere"]])
def test_missing_folder(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["check", "x", "y"], ["x", "--port", "high"], ["x", "--nope"]])
def test_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage: crosswire-mock" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "default: 8888" in capsys.readouterr().out


async def test_serves_until_stopped() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "crosswire.mockserver", str(FOLDER), "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        cwd=FOLDER.parent,
    )
    try:
        assert process.stdout is not None
        url = ""
        while not url:
            line = (await process.stdout.readline()).decode()
            assert line, "the process ended before it listened"
            found = re.match(r"Listening on (\S+)", line)
            url = found[1] if found else ""
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/healthz") as answer:
                assert answer.status == 200
            body = {"model": "gpt-5-nano", "messages": [{"role": "user", "content": "Hello!"}]}
            headers = {"authorization": "Bearer test-key-openai"}
            async with session.post(f"{url}/openai/v1/chat/completions", json=body, headers=headers) as answer:
                assert answer.status == 200
        assert (await process.stdout.readline()) == b"Detected scenario: openai/text\n"
    finally:
        process.terminate()
        await process.wait()


async def test_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    status = await asyncio.to_thread(main, [str(FOLDER), "--port", str(port)])
    server.close()
    await server.wait_closed()
    assert status == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_rules_are_listed_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "anthropic"]) == 0
    text = capsys.readouterr().out
    assert "anthropic/prefill  400  This model does not support assistant message prefill." in text
    assert "openai-chat/" not in text
    assert main(["rules", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [f"{record['protocol']}/" for record in records] == [record["id"].split("/")[0] + "/" for record in records]
    assert {record["protocol"] for record in records} == set(MOCK_PROTOCOLS)
    assert all(record["source"].startswith("https://") and record["checked"] for record in records)


def test_rules_of_an_unknown_protocol_are_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "smtp"]) == 2
    assert "invalid choice: 'smtp'" in capsys.readouterr().err
