"""Who may import whom, and what must agree: floors, registries, words, folders and the README, read from the tree."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance.allowed import read_matrix
from conformance.meaning import EXTRA_WORDS, WRONG
from mockserver.dialects import DIALECTS
from mockserver.dialects.names import NAMES
from mockserver.scenario import CAPABILITIES as SCENARIO_CAPABILITIES
from mockserver.speech import COARSE as COARSER
from mockserver.speech import STATUS as COARSE
from proxy.errors import STATUS
from proxy.ir import CAPABILITIES
from proxy.ledger import LEDGER, WORDS
from proxy.protocols import PROTOCOLS

ROOT = Path(__file__).parents[1]

# ---- the floors ------------------------------------------------------------------------------------------------------

PROXY: tuple[tuple[str, ...], ...] = (
    ("proxy", "proxy.backends", "proxy.ir", "proxy.backends.transport", "proxy.registry"),
    ("proxy.errors", "proxy.ledger", "proxy.names", "proxy.seals", "proxy.effort", "proxy.health", "proxy.needs"),
    ("proxy.strict", "proxy.wire", "proxy.routing.*", "proxy.backends.lean", "proxy.store.*"),
    ("proxy.framing", "proxy.record", "proxy.cascade"),
    ("proxy.protocols.contract", "proxy.metrics"),
    ("proxy.backends.door",),
    (
        "proxy.protocols.openai_chat.*",
        "proxy.protocols.openai_responses.*",
        "proxy.protocols.anthropic.*",
        "proxy.protocols.gemini.*",
        "proxy.protocols.ollama.*",
        "proxy.relay",
        "proxy.backends.http",
        "proxy.backends.mlx.*",
    ),
    ("proxy.protocols", "proxy.line"),
    ("proxy.config.*",),
    ("proxy.shared", "proxy.explain", "proxy.store_commands"),
    ("proxy.told", "proxy.reload"),
    ("proxy.way",),
    ("proxy.gateway",),
    ("proxy.errand",),
    ("proxy.models", "proxy.counting", "proxy.forward"),
    ("proxy.embeddings.*",),
    ("proxy.around",),
    ("proxy.server",),
    ("proxy.embed",),
    ("proxy.__main__",),
)
"""Imports run from a later floor to an earlier one, never along one; files of one package (`.*`) may see each other."""

MOCKSERVER: tuple[tuple[str, ...], ...] = (
    (
        "mockserver",
        "mockserver.frames",
        "mockserver.speech",
        "mockserver.lines",
        "mockserver.journal",
        "mockserver.dialects.names",
    ),
    ("mockserver.dialects.scene", "mockserver.dialects.strict", "mockserver.sayfile", "mockserver.offer"),
    ("mockserver.dialects.contract",),
    ("mockserver.dialects.body",),
    (
        "mockserver.dialects.openai_chat.*",
        "mockserver.dialects.openai_responses.*",
        "mockserver.dialects.anthropic.*",
        "mockserver.dialects.gemini.*",
        "mockserver.dialects.ollama.*",
        "mockserver.scenario mockserver.providerfile mockserver.routefile mockserver.storyfile",
    ),
    ("mockserver.dialects", "mockserver.faults", "mockserver.match", "mockserver.around"),
    ("mockserver.server",),
    ("mockserver.__main__",),
)
"""The scenario's nouns and their three readers know each other, so they are one place."""

CONFORMANCE: tuple[tuple[str, ...], ...] = (
    (
        *("conformance", "conformance.allowed", "conformance.bench", "conformance.catalogue"),
        *("conformance.quiet", "conformance.snapshot"),
    ),
    ("conformance.naming", "conformance.seals", "conformance.schemas"),
    ("conformance.meaning.*",),
    ("conformance.judge conformance.routes conformance.steps", "conformance.replay.*"),
    ("conformance.cells", "conformance.live"),
    ("conformance.report", "conformance.classic"),
    ("conformance.readme", "conformance.page"),
    ("conformance.conftest",),
    ("conformance.test_matrix", "conformance.test_laws", "conformance.__main__"),
)

FLOORS = {"proxy": PROXY, "mockserver": MOCKSERVER, "conformance": CONFORMANCE}

ABROAD: dict[str, dict[str, tuple[str, ...]]] = {
    "proxy": {},
    "mockserver": {},
    "conformance": {
        # of the mock its nouns and its hands; only the bench runs it
        "mockserver.scenario": ("*",),
        "mockserver.speech": ("*",),
        "mockserver.offer": ("conformance.naming",),
        "mockserver.dialects": ("*",),
        "mockserver.dialects.contract": ("*",),
        "mockserver.server": ("conformance.bench",),
        # of the proxy what runs it, and its words for losses; the replay puts recorded traffic through its protocols
        "proxy.server": ("conformance.bench", "conformance.replay.sockets"),
        "proxy.ledger": ("conformance.readme",),
        "proxy.protocols": ("conformance.replay.*",),
        "proxy.protocols.contract": ("conformance.replay.*",),
        "proxy.framing": ("conformance.replay.*",),
        "proxy.errors": ("conformance.bench", "conformance.replay.*"),
        "proxy.ir": ("conformance.replay.*",),
    },
}
"""Of each package: the modules of the other two that it may import, and which of its own may."""

ONLY_NAMES = {"proxy.server": {"make_app"}, "proxy.ledger": {"LEDGER"}}
"""What may be taken from a module by another package, where that is not everything."""

OUTSIDE: dict[str, tuple[str, ...]] = {
    "msgspec": ("*",),
    "aiohttp": (
        *("proxy.server", "proxy.backends.http", "mockserver.server"),
        *("conformance.bench", "conformance.replay.sockets"),
    ),
    "yarl": ("proxy.backends.http",),
    "httptools": ("proxy.backends.lean",),
    "uvloop": ("proxy.__main__",),
    # the extra `local`, imported with the first request to such a backend, on its engine's thread
    "mlx_lm": ("proxy.backends.mlx.runtime",),
    "mlx": tuple(f"proxy.backends.mlx.{name}" for name in ("runtime", "sampling", "steering")),
    "llguidance": tuple(f"proxy.backends.mlx.{name}" for name in ("runtime", "steering")),
    "numpy": ("proxy.backends.mlx.steering",),
    "jinja2": ("proxy.backends.mlx.runtime",),
    "prometheus_client": ("proxy.metrics",),
    "sqlalchemy": ("proxy.store.*", "proxy.store_commands"),
    "asyncpg": ("proxy.store.database",),
    "cryptography": ("proxy.store.crypto",),
    "yaml": (
        *("proxy.config.*", "mockserver.lines"),
        *("conformance.allowed", "conformance.bench", "conformance.catalogue", "conformance.live"),
        "conformance.replay.sockets",
    ),
    "jsonschema": ("conformance.live",),
    "jsonpath_ng": ("mockserver.storyfile", "conformance.judge"),
    "pytest": ("conformance.*",),
    "syrupy": ("conformance.snapshot", "conformance.test_matrix"),
    # the official SDKs' types are judges of the replay, and nothing else here
    "openai": ("conformance.replay.judges",),
    "anthropic": ("conformance.replay.judges",),
    "google": ("conformance.replay.judges",),
    "ollama": ("conformance.replay.judges",),
    "pydantic": ("conformance.replay.judges",),
    "pydantic_core": ("conformance.replay.judges",),
}
"""Whose library it is: who may import a package from outside."""

WITHOUT_WORLD = (
    *("proxy.ir", "proxy.errors", "proxy.ledger", "proxy.names", "proxy.seals", "proxy.effort", "proxy.wire"),
    *("proxy.registry", "proxy.health", "proxy.needs", "proxy.routing*", "proxy.framing", "proxy.protocols*"),
    *("proxy.relay", "proxy.cascade"),
    *("mockserver.speech", "mockserver.frames", "mockserver.dialects*", "mockserver.match", "mockserver.offer"),
)
"""What sees no clock, dice, socket, file or process: the same arguments give the same answer."""

WORLD = {
    *("asyncio", "io", "logging", "os", "pathlib", "random"),
    *("secrets", "socket", "subprocess", "threading", "time", "uuid"),
}

LONG = {
    "proxy/way.py": "the way of one request, in the order in which it goes; to be read from top to bottom",
}
"""Python files of more than 500 lines, tests aside, and why each is one."""

BANNED = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}

TESTED_ELSEWHERE: dict[str, str] = {
    "proxy.around": "proxy/test_models.py",
    "proxy.backends.door": "proxy/test_backends.py",
    "proxy.counting": "proxy/test_tokens.py",
    "proxy.errand": "proxy/test_tokens.py",
    "proxy.forward": "proxy/test_compact.py",
    "proxy.line": "proxy/test_gateway.py",
    "proxy.needs": "proxy/test_gateway.py",
    "proxy.protocols": "test_floors.py",
    "proxy.shared": "proxy/test_reload.py",
    "proxy.told": "proxy/test_gateway.py",
    "proxy.way": "proxy/test_gateway.py",
    "proxy.protocols.contract": "proxy/test_relay.py",
    "mockserver.frames": "mockserver/test_faults.py",
    "mockserver.journal": "mockserver/test_server.py",
    "mockserver.lines": "mockserver/test_scenario.py",
    "mockserver.providerfile": "mockserver/test_scenario.py",
    "mockserver.routefile": "mockserver/test_scenario.py",
    "mockserver.sayfile": "mockserver/test_scenario.py",
    "mockserver.speech": "mockserver/test_scenario.py",
    "mockserver.storyfile": "mockserver/test_scenario.py",
}
"""Modules without a test file of their own name or their package's, and the file that tests them."""


# ---- reading the tree ------------------------------------------------------------------------------------------------


@cache
def modules() -> dict[str, Path]:
    """Every module of the three packages by its dotted name; a package is its `__init__.py`."""
    found = {}
    for top in FLOORS:
        for file in sorted((ROOT / top).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def imports(module: str) -> frozenset[tuple[str, str]]:
    """What a module imports, wherever it stands in the file: (module, name), the name empty for `import module`."""
    return imports_of(modules()[module])


def imports_of(file: Path) -> frozenset[tuple[str, str]]:
    package = list(file.relative_to(ROOT).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        match node:
            case ast.Import(names):
                found |= {(alias.name, "") for alias in names}
            case ast.ImportFrom(target, names, level):
                start = package[: len(package) - level + 1] if level else []
                whole = ".".join([*start, *([target] if target else [])])
                for alias in names:
                    inner = f"{whole}.{alias.name}"
                    found.add((inner, "") if inner in modules() else (whole, alias.name))
            case _:
                pass
    return frozenset(found)


def own(module: str) -> Iterator[tuple[str, str]]:
    """Its imports within the three packages."""
    return ((target, name) for target, name in imports(module) if target.partition(".")[0] in FLOORS)


def named(pattern: str, module: str) -> bool:
    """Whether a place's name, one of `a`, `a.*` (the package a and all in it) or `*`, holds this module."""
    return fnmatchcase(module, pattern) or module == pattern.removesuffix(".*")


def place(module: str) -> tuple[int, str] | None:
    """The floor of a module and the place on it, None where it has none."""
    for floor, places in enumerate(FLOORS[module.partition(".")[0]]):
        for there in places:
            if any(named(name, module) for name in there.split()):
                return floor, there
    return None


# ---- the floors hold -------------------------------------------------------------------------------------------------


def test_every_module_has_its_place() -> None:
    homeless = [module for module in modules() if place(module) is None]
    assert not homeless, "give each a floor in PROXY, MOCKSERVER or CONFORMANCE"


def test_every_place_is_a_module() -> None:
    names = [name for floors in FLOORS.values() for places in floors for there in places for name in there.split()]
    assert len(names) == len(set(names))
    assert [name for name in names if not any(named(name, module) for module in modules())] == []


@pytest.mark.parametrize("module", modules())
def test_imports_run_downward(module: str) -> None:
    here = place(module)
    assert here is not None
    for target, _ in own(module):
        if target.partition(".")[0] != module.partition(".")[0]:
            continue
        there = place(target)
        assert there is not None, f"{target} is no module of the tree"
        assert there[0] < here[0] or there == here, f"{module} imports {target}, which stands beside or above it"


@pytest.mark.parametrize("module", modules())
def test_packages_keep_apart(module: str) -> None:
    top = module.partition(".")[0]
    for target, name in own(module):
        if target.partition(".")[0] == top:
            continue
        allowed = ABROAD[top].get(target, ())
        assert any(named(pattern, module) for pattern in allowed), f"{module} imports {target}"
        assert name in ONLY_NAMES.get(target, {name}) or not name, f"{module} imports {name} of {target}"


@pytest.mark.parametrize("module", modules())
def test_libraries_have_their_users(module: str) -> None:
    for target, _ in imports(module):
        library = target.partition(".")[0]
        if library in FLOORS or library in sys.stdlib_module_names:
            continue
        assert library in OUTSIDE, f"{module} imports {library}, which stands in no row of OUTSIDE"
        assert any(named(pattern, module) for pattern in OUTSIDE[library]), f"{module} imports {library}"


def test_every_library_is_used_where_it_may_be() -> None:
    rows = {(library, pattern) for library, patterns in OUTSIDE.items() for pattern in patterns}
    used = {
        (library, pattern)
        for library, pattern in rows
        if any(
            named(pattern, module) and any(target.partition(".")[0] == library for target, _ in imports(module))
            for module in modules()
        )
    }
    assert rows == used


@pytest.mark.parametrize("pattern", WITHOUT_WORLD)
def test_the_pure_see_nothing_of_the_world(pattern: str) -> None:
    chosen = [module for module in modules() if fnmatchcase(module, pattern)]
    assert chosen
    for module in chosen:
        seen = {target.partition(".")[0] for target, _ in imports(module)} & WORLD
        assert not seen, f"{module} imports {seen}"


# ---- what must agree -------------------------------------------------------------------------------------------------


def test_all_know_the_same_protocols() -> None:
    matrix = read_matrix()
    spoken = {yaml.safe_load(file.read_text("utf-8"))["protocol"] for file in (ROOT / "scenarios/providers").iterdir()}
    assert list(PROTOCOLS) == list(DIALECTS) == list(NAMES) == list(matrix.frontends) == list(matrix.dialects)
    assert spoken == set(PROTOCOLS)
    assert {name: name for name in PROTOCOLS} == {name: protocol.name for name, protocol in PROTOCOLS.items()}
    assert {name: name for name in DIALECTS} == {name: dialect.name for name, dialect in DIALECTS.items()}


def test_all_know_the_same_capabilities() -> None:
    assert set(CAPABILITIES) == set(SCENARIO_CAPABILITIES)


def test_the_mock_knows_every_kind_of_failure() -> None:
    assert set(STATUS) - set(COARSE) - set(COARSER) == set()


@pytest.mark.parametrize("dialect", read_matrix().dialects)
def test_the_matrix_speaks_the_ledgers_words(dialect: str) -> None:
    row = read_matrix().dialects[dialect]
    refusable = {*CAPABILITIES, *(word for word, rule in LEDGER.items() if rule.action == "refuse")}
    for side in (row.backend, row.frontend):
        assert set(side.losses) - set(LEDGER) == set()
        assert set(side.refuses) - refusable == set()
        assert set(side.stream_errors) - set(COARSE) == set()


def test_every_field_has_a_word_of_the_ledger() -> None:
    assert set(WORDS.values()) - set(LEDGER) == set()
    assert set(EXTRA_WORDS.values()) - set(LEDGER) == set()


def words_said(tree: ast.AST) -> Iterator[str]:
    """The words that a module gives to its differences: literal, or by way of a variable called `word`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Name("Difference" | "differ"), [first, *_]):
                yield from literals(first)
            case ast.Assign([ast.Name("word")], value):
                yield from literals(value)
            case _:
                pass


def literals(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(str(word)):
            yield word
        case ast.IfExp(_, one, other):
            yield from literals(one)
            yield from literals(other)
        case _:
            pass


def test_the_referee_speaks_the_ledgers_words() -> None:
    referee = [file for module, file in modules().items() if re.fullmatch(r"conformance(\.meaning)?\.\w+", module)]
    said = {word for file in referee for word in words_said(ast.parse(file.read_text("utf-8")))}
    assert {"stop_reason", "tool_choice", "refusal"} <= said, "the words were not found: mend words_said"
    assert said - set(LEDGER) - {WRONG} == set()


# ---- files and folders -----------------------------------------------------------------------------------------------


def python_files() -> list[str]:
    tops = (*FLOORS, "tests", "benchmarks", "training")
    return sorted(str(file.relative_to(ROOT)) for top in tops for file in (ROOT / top).rglob("*.py"))


def test_files_are_named_by_a_noun() -> None:
    assert [file for file in python_files() if Path(file).stem in BANNED] == []


def test_files_are_short() -> None:
    long = {file for file in python_files() if len((ROOT / file).read_text("utf-8").splitlines()) > 500}
    assert {file for file in long if not file.startswith("tests/")} == set(LONG)


def test_every_package_is_installed() -> None:
    globs = pyproject()["tool"]["setuptools"]["packages"]["find"]["include"]
    for folder in {file.parent for file in modules().values()}:
        name = ".".join(folder.relative_to(ROOT).parts)
        assert (folder / "__init__.py").is_file(), f"{name} is no package"
        assert any(fnmatchcase(name, glob) for glob in globs), f"{name} is in none of {globs}"


def test_every_module_is_tested() -> None:
    untested = [
        module
        for module, file in modules().items()
        if module.partition(".")[0] in ("proxy", "mockserver")
        and not any(test.is_file() for test in places_of_tests(module))
        and module not in TESTED_ELSEWHERE
        and file.read_text("utf-8").count("\n") > 1
    ]
    assert untested == []


def places_of_tests(module: str) -> Iterable[Path]:
    """Where the tests of a module may be: under its own name, or under its package's."""
    top, *inner = module.split(".")
    while inner:
        yield ROOT / "tests" / top / Path(*inner[:-1]) / f"test_{inner[-1].strip('_')}.py"
        inner.pop()


@pytest.mark.parametrize(("module", "file"), TESTED_ELSEWHERE.items(), ids=list(TESTED_ELSEWHERE))
def test_tests_elsewhere_reach_it(module: str, file: str) -> None:
    assert module in modules()
    due = {target for target, _ in imports_of(ROOT / "tests" / file)}
    reached: set[str] = set()
    while due:
        reached |= due
        due = {t for known in due & set(modules()) for t, _ in imports(known)} - reached
    assert module in reached, f"{file} does not import it"


# ---- the README ------------------------------------------------------------------------------------------------------


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@cache
def readme() -> str:
    return (ROOT / "README.md").read_text("utf-8")


def test_the_readme_names_every_folder() -> None:
    tracked = {file.parent.name for file in ROOT.glob("*/*") if file.is_file()}
    own_folders = {name for name in tracked if not name.startswith((".", "_")) and not name.endswith(".egg-info")}
    assert {*FLOORS, "scenarios", "tests"} <= own_folders
    assert {name for name in own_folders if not re.search(rf"^{re.escape(name)}/ ", readme(), re.MULTILINE)} == set()


def commands(module: str) -> Iterator[str]:
    """The commands that a program's parser adds, by its source."""
    for node in ast.walk(ast.parse(modules()[module].read_text("utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_parser"), args=[ast.Constant(str(name)), *_]):
                yield name
            case _:
                pass


def test_the_readme_names_every_command() -> None:
    scripts = set(pyproject()["project"]["scripts"])
    found = set(commands("proxy.__main__"))
    assert {"serve", "check"} <= found
    wanted = scripts | {f"crosswire {command}" for command in found}
    assert {command for command in wanted if f"`{command} " not in readme() and f"`{command}`" not in readme()} == set()


def test_the_readme_names_every_capability_of_its_provider_file() -> None:
    """The example of a provider file is one that loads."""
    (example,) = re.findall(r"`scenarios/providers/\w+\.yaml`:\n\n```yaml\n(.*?)```", readme(), re.DOTALL)
    shown = yaml.safe_load(example)
    assert set(shown["capabilities"]) <= set(CAPABILITIES)
    assert shown["protocol"] in PROTOCOLS
