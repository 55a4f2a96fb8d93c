"""The generated pages of the documentation are as the program's tables are now."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from crosswire.proxy.known_clients import CLIENTS

from ..source_tree import ROOT

GENERATOR = ROOT / "docs/generate.py"


@pytest.fixture
def generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The generator, with a copy of the pages."""
    spec = importlib.util.spec_from_file_location("generate", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    monkeypatch.setattr(module, "DOCS", tmp_path / "docs")
    return module


def test_every_generated_page_is_fresh() -> None:
    command = [sys.executable, str(GENERATOR), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr


def test_a_stale_page_names_the_command_that_writes_it(
    generator: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    page = generator.DOCS / "losses.md"
    page.write_text(page.read_text("utf-8") + "more\n", "utf-8")
    (generator.DOCS / "commands.md").unlink()
    assert generator.main(["--check"]) == 1
    assert capsys.readouterr().err == "stale: commands.md, losses.md; write them with: python docs/generate.py\n"
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0


def test_a_section_without_its_markers_is_an_error(generator: ModuleType) -> None:
    (generator.DOCS / "architecture.md").write_text("# Architecture\n", "utf-8")
    with pytest.raises(SystemExit, match="needs a place between"):
        generator.main(["--check"])


def test_the_versions_of_clients_are_those_that_were_driven() -> None:
    page = (ROOT / "docs" / "clients.md").read_text("utf-8")
    driven = page.partition("<!-- driven")[2].partition("<!-- /driven")[0]
    rows = [line.strip("| ").split(" | ") for line in driven.splitlines() if line.startswith("| ")][2:]
    assert {row[0]: row[1] for row in rows} == {client.name: client.tried for client in CLIENTS if client.tried}
