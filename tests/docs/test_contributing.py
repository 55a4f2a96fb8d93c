"""The worked examples of CONTRIBUTING.md do what it says, in a copy of the scenarios."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct

from crosswire.proxy import providers
from crosswire.proxy.config.provider import backend_from_provider
from crosswire.proxy.config.yaml_reader import ConfigReader
from crosswire.proxy.protocols import PROTOCOLS

from ..source_tree import ROOT


class Block(Struct, frozen=True):
    """A fenced block of an example: its language, its text, and the file that the line before it names."""

    language: str
    text: str
    file: str | None


@cache
def contributing() -> str:
    return (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def blocks_of(example: str) -> list[Block]:
    """The blocks between an example's marks."""
    (text,) = re.findall(rf"<!-- example: {example} -->(.*?)<!-- /example -->", contributing(), re.DOTALL)
    found = re.findall(r"(?:^`([\w/.-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(language, body, file or None) for file, language, body in found]


def commands_of(example: str) -> list[list[str]]:
    return [
        shlex.split(line, comments=True)
        for block in blocks_of(example)
        if block.language == "sh"
        for line in block.text.splitlines()
    ]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command of an example on the copy of the scenarios in this folder."""
    scenarios, snapshots = str(folder / "scenarios"), str(folder / "snapshots")
    match command:
        case ["./run-matrix.sh", *flags]:
            module = ["conformance", "run", "--scenarios", scenarios, "--snapshots", snapshots, *flags]
        case [".venv/bin/crosswire-mock", "check", "scenarios"]:
            module = ["mockserver", "check", scenarios]
        case _:
            raise AssertionError(f"no test runs {command}")
    return subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", *module], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("example", ["provider", "story"])
def test_an_example_of_scenarios_passes(example: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    written = [block for block in blocks_of(example) if block.file is not None]
    assert len(written) == 1
    for block in written:
        file = tmp_path / str(block.file)
        assert not file.exists(), "the example is there already"
        file.write_text(block.text, "utf-8")
    commands = commands_of(example)
    assert len(commands) >= 2
    for command in commands:
        if command[0] == "./run-matrix.sh" and "--story" not in command:
            continue  # plays everything
        done = run(command, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        if command[0] == "./run-matrix.sh":
            assert re.search(r"^[1-9]\d* passed, 0 failed$", done.stdout, re.MULTILINE), done.stdout
            assert list((tmp_path / "snapshots").rglob("*.json"))


def test_the_provider_s_row_is_valid() -> None:
    (row,) = [block.text for block in blocks_of("provider") if block.language == "python"]
    provider = eval(row, vars(providers))  # noqa: S307 - our own text
    protocol = PROTOCOLS[provider.protocol]
    assert provider.quirks <= set(protocol.quirks)
    assert provider.capabilities <= protocol.capabilities
    assert providers.find(provider.name) is None, "the example is there already"
    backend = backend_from_provider(ConfigReader("environment", {"LIGHTHOUSE_API_KEY": "k"}), provider, PROTOCOLS)
    assert (backend.name, backend.api_key) == ("lighthouse", "k")


def test_the_protocol_s_example_is_the_toy_protocol() -> None:
    source = (ROOT / "tests/proxy/toy_protocol/__init__.py").read_text("utf-8")
    (shown,) = [block.text for block in blocks_of("protocol") if block.language == "python"]
    assert shown in source
    (command,) = commands_of("protocol")
    assert command[0] == "./run-tests.sh"
    assert (ROOT / command[1]).is_file()


FILES = re.findall(r"^\| `([\w/.<>-]+)` \| (.+) \|$", contributing(), re.MULTILINE)


@pytest.mark.parametrize("protocol", [name.replace("-", "_") for name in PROTOCOLS])
@pytest.mark.parametrize(("place", "what"), FILES, ids=[place for place, _ in FILES])
def test_every_listed_file_is_there_for_every_protocol(place: str, what: str, protocol: str) -> None:
    path = ROOT / place.replace("<p>", protocol)
    if "NAME" in place:
        return  # written for one provider or story
    assert path.exists()
    for name in re.findall(r"`([\w<>]+\.py)`", what) if path.is_dir() else ():
        assert (path / name.replace("<p>", protocol)).is_file()
