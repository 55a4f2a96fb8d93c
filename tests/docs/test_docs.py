"""The README and the guides: links lead somewhere, configs and scenarios load, commands exist, examples run."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from crosswire.mockserver.scenarios.loader import load_scenarios
from crosswire.proxy.config import load
from crosswire.proxy.errors import ConfigError

from ..source_tree import ROOT
from .commands import SHELL, wrong_commands
from .markdown import Block, Page, broken_links
from .page_runner import PageRunner

TOP_PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")

CONFIGS = ("crosswire.yaml", "providers.yaml")
"""Names of files that are configs of the proxy."""


def pages() -> list[Page]:
    """Every page whose examples and links are held."""
    files = [ROOT / name for name in TOP_PAGES if (ROOT / name).exists()]
    return [Page.read(file, ROOT) for file in (*files, *sorted((ROOT / "docs").glob("*.md")))]


PAGES = pages()
BLOCKS = [block for page in PAGES for block in page.blocks]
RUN_PAGES = [page for page in PAGES if any(block.mark.startswith("run") for block in page.blocks)]


def by_place(block: Block) -> str:
    return block.place


# ---- the checks ------------------------------------------------------------------------------------------------------


def config_errors(block: Block) -> list[str]:
    """The mistakes of a block that is a config, given made-up values for its variables."""
    env = dict.fromkeys(re.findall(r"(?<!\$)\$\{(\w+)", block.text), "made-up")
    try:
        load(block.text, block.place, env)
    except ConfigError as error:
        return list(error.complaints)
    return []


def scenario_errors(blocks: list[Block], folder: Path) -> list[str]:
    """The mistakes of the shipped scenarios with these blocks in their places; the folder must not exist yet."""
    shutil.copytree(ROOT / "scenarios", folder)
    places = {}
    for block in blocks:
        file = folder / block.title.removeprefix("scenarios/")
        file.write_text(block.text, "utf-8")
        places[str(file)] = block.place
    mistakes = load_scenarios(folder).mistakes
    return [f"{places.get(str(mistake.file), '')} {mistake}" for mistake in mistakes]


def python_errors(block: Block) -> list[str]:
    """The syntax error of a Python block, which may use `await` at its top."""
    try:
        compile(block.text, block.place, "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    except SyntaxError as error:
        return [f"{block.place}: line {error.lineno}: {error.msg}"]
    return []


# ---- the pages -------------------------------------------------------------------------------------------------------


def test_every_link_leads_somewhere() -> None:
    assert broken_links(PAGES, ROOT) == []


def test_the_index_names_every_guide() -> None:
    (index,) = (page for page in PAGES if page.name == "docs/README.md")
    linked = {link.target.partition("#")[0] for link in index.links}
    guides = {page.name.removeprefix("docs/") for page in PAGES if page.name.startswith("docs/")}
    assert guides - linked - {"README.md"} == set()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.title in CONFIGS], ids=by_place)
def test_a_config_loads(block: Block) -> None:
    if "protocol: mlx" in block.text and find_spec("mlx_lm") is None:
        pytest.skip("needs the extra `local`")
    assert config_errors(block) == []


def test_scenarios_load(tmp_path: Path) -> None:
    blocks = [block for block in BLOCKS if block.title.startswith("scenarios/")]
    assert any(block.title.startswith("scenarios/providers/") for block in blocks)
    assert any(block.title.startswith("scenarios/stories/") for block in blocks)
    assert scenario_errors(blocks, tmp_path / "scenarios") == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in SHELL], ids=by_place)
def test_commands_exist(block: Block) -> None:
    assert wrong_commands(block) == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=by_place)
def test_python_compiles(block: Block) -> None:
    assert python_errors(block) == []


@pytest.mark.parametrize("page", RUN_PAGES, ids=[page.name for page in RUN_PAGES])
def test_examples_run(page: Page, tmp_path: Path) -> None:
    if "protocol: mlx" in page.text and find_spec("mlx_lm") is None:
        pytest.skip("needs the extra `local`")
    folder = tmp_path / "empty"
    folder.mkdir()
    complaints = PageRunner(page, folder, tmp_path / "bin").run()
    assert complaints == [], "\n".join(complaints)
