"""The names of the source tree: files, docstrings, tests that mirror modules, protocols within their folders."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from crosswire.proxy.protocols import PROTOCOLS

from .source_tree import PACKAGES, ROOT, imports, imports_of, modules, python_files

# ---- files -----------------------------------------------------------------------------------------------------------

VAGUE = {"utils", "util", "helpers", "helper", "common", "shared", "base", "manager", "misc", "core", "lib"}
"""Names that say nothing of a file's content."""

PRIVATE = {
    *("around", "ask", "bench", "counting", "door", "errand", "folder", "forward", "hear", "heed", "job", "ladder"),
    *("ledger", "lies", "line", "live", "meaning", "names", "naming", "needs", "offer", "quiet", "read", "rider"),
    *("say", "scene", "seals", "speech", "steering", "steps", "tally", "told", "voice", "way", "wish", "words"),
}
"""Names that only an insider understood."""

ALLOWED = {"mockserver/protocols/names.py": "the protocols' names"}

LONGEST = 500
"""Lines of a Python file outside the tests."""


def test_files_are_named_by_a_noun() -> None:
    assert [file for file in python_files() if Path(file).stem in VAGUE | PRIVATE and file not in ALLOWED] == []


def test_files_are_short() -> None:
    lengths = {file: len((ROOT / file).read_text("utf-8").splitlines()) for file in python_files()}
    assert [file for file, n in lengths.items() if n > LONGEST and not file.startswith("tests/")] == []


QUESTION = re.compile(r"(What|Who|Whose|Whom|Whoever|Whether|How|When|Where|Why|Under which|Which)\b")


@pytest.mark.parametrize("top", ["proxy", "mockserver", "conformance", "benchmarks", "training", "tests", "docs"])
def test_docstrings_begin_with_what_a_thing_does(top: str) -> None:
    """A docstring, that of an attribute too, says what a thing does in the words that a reader would search for."""
    questions = []
    for file in python_files():
        if file.startswith(f"{top}/"):
            for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))):
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                    text = str(node.value.value).lstrip()
                    if QUESTION.match(text):
                        questions.append(f"{file}:{node.lineno} {text[:60]}")
    assert questions == []


# ---- protocols -------------------------------------------------------------------------------------------------------

HOMES = ("proxy.protocols", "proxy.providers", "proxy.traits.host_table", "proxy.known_clients", "proxy.config")
"""The modules that may name a protocol: its folder and the table, the registries of providers, of their rows of traits
and of client programs, the config's schema."""


def words_of(identifier: str) -> str:
    """An identifier's words in lower case, one `-` between them: `OpenAIChat`, `openai_chat` -> `openai-chat`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", identifier.replace("OpenAI", "Openai"))
    return re.sub(r"_+", "-", spaced).strip("-").lower()


def names_a_protocol(identifier: str) -> bool:
    """Returns whether a protocol's name is among the words of an identifier."""
    return any(f"-{name}-" in f"-{words_of(identifier)}-" for name in PROTOCOLS)


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every identifier and every literal string of a module but its docstrings, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(name) | ast.Attribute(attr=name) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                yield node.lineno, name
            case ast.ClassDef(name):
                yield node.lineno, name
            case ast.arg(name):
                yield node.lineno, name
            case ast.keyword(arg=str(name)):
                yield node.value.lineno, name
            case ast.alias(name, asname):
                yield from ((node.lineno, part) for part in (*name.split("."), asname or ""))
            case ast.ImportFrom(module=str(name)):
                yield from ((node.lineno, part) for part in name.split("."))
            case ast.Constant(str(text)) if text in PROTOCOLS:
                yield node.lineno, text
            case _:
                pass


@pytest.mark.parametrize(
    "module",
    [
        m
        for m in modules()
        if m.startswith("proxy") and not m.startswith(HOMES) and not m.startswith("proxy.backends.mlx.tiny")
    ],
)
def test_no_protocol_is_named_outside_its_folder(module: str) -> None:
    """All that the proxy knows of one protocol stands in its record, so that another one is a folder and a line."""
    found = identifiers(ast.parse(modules()[module].read_text("utf-8")))
    assert [f"line {line}: {name}" for line, name in found if names_a_protocol(name)] == []


@pytest.mark.parametrize(
    ("identifier", "named"),
    [
        ("is_gemini", True),
        ("ANTHROPIC", True),
        ("OpenAIChat", True),
        ("openai_responses", True),
        ("list_ollama", True),
        ("openai", False),
        ("responses", False),
        ("ollamas", False),
    ],
)
def test_how_a_protocol_is_recognised(identifier: str, named: bool) -> None:
    assert names_a_protocol(identifier) == named


# ---- tests that mirror modules ---------------------------------------------------------------------------------------

TESTED_ELSEWHERE: dict[str, str] = {
    "proxy": "proxy/test_library.py",
    "proxy.__main__": "proxy/cli/test_cli.py",
    "proxy.endpoints.table": "proxy/endpoints/test_models.py",
    "proxy.headers": "proxy/observability/test_request_record.py",
    "proxy.ir.embeddings": "proxy/test_sixth_protocol.py",
    "proxy.ir.token_estimate": "proxy/endpoints/test_token_count.py",
    "proxy.observability.record_log": "proxy/observability/test_request_record.py",
    "proxy.protocols": "proxy/test_sixth_protocol.py",
    "proxy.protocols.protocol": "proxy/test_sixth_protocol.py",
    "proxy.routing.decision": "proxy/routing/test_decide.py",
    "proxy.routing.refusals": "proxy/routing/test_decide.py",
    "proxy.store.audit": "proxy/store/test_usage.py",
    "proxy.store.clients": "proxy/store/test_usage.py",
    "proxy.store.mappings": "proxy/cli/test_store.py",
    "proxy.store.reader": "proxy/store/test_running_store.py",
    "proxy.store.settings": "proxy/cli/test_store.py",
    "proxy.store.snapshot": "proxy/store/test_running_store.py",
    "proxy.traits.row": "proxy/traits/test_trait.py",
    "proxy.known_clients": "proxy/cli/test_client_commands.py",
    "proxy.ir.tool_schema": "proxy/ir/test_json_schema.py",
    "proxy.wire.query": "proxy/endpoints/test_models.py",
    "mockserver.conditions": "mockserver/test_any_reply.py",
    "mockserver.example_value": "mockserver/test_any_reply.py",
    "mockserver.sdk_environment": "mockserver/test_verdict.py",
    "mockserver.verdict_command": "mockserver/test_verdict.py",
    "mockserver.framing": "mockserver/test_faults.py",
    "mockserver.journal": "mockserver/test_server.py",
    "mockserver.rule_list": "mockserver/test_main.py",
}
"""Modules without a test file of their own name or their package's, and the file that tests them."""


def test_every_module_is_tested() -> None:
    untested = [
        module
        for module, file in modules().items()
        if module.partition(".")[0] in ("proxy", "mockserver")
        and not any(test.is_file() for test in mirrors_of(module))
        and module not in TESTED_ELSEWHERE
        and has_code(ast.parse(file.read_text("utf-8")))
    ]
    assert untested == []


def mirrors_of(module: str) -> Iterable[Path]:
    """The files that may test a module: of its own name, or of its package's in the package's folder or beside it."""
    top, *inner = module.split(".")
    while inner:
        name, folder = inner[-1].strip("_"), ROOT / "tests" / top / Path(*inner[:-1])
        yield folder / f"test_{name}.py"
        yield folder / name / f"test_{name}.py"
        inner.pop()


def has_code(tree: ast.Module) -> bool:
    """Returns whether a module has a function with a body; types, tables and interfaces alone have nothing to test."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(not all(is_stub(statement) for statement in function.body) for function in functions)


def is_stub(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@pytest.mark.parametrize(("module", "file"), TESTED_ELSEWHERE.items(), ids=list(TESTED_ELSEWHERE))
def test_tests_elsewhere_reach_it(module: str, file: str) -> None:
    assert module in modules()
    due = {target for target, _ in imports_of(ROOT / "tests" / file)}
    reached: set[str] = set()
    while due:
        reached |= due
        due = {t for known in due & set(modules()) for t, _ in imports(known)} - reached
    assert module in reached or module.endswith("__main__"), f"{file} does not import it"


@pytest.mark.parametrize("module", TESTED_ELSEWHERE)
def test_no_excuse_is_left_over(module: str) -> None:
    assert not any(test.is_file() for test in mirrors_of(module))
    assert has_code(ast.parse(modules()[module].read_text("utf-8"))) or module.endswith("__main__")


# ---- the package -----------------------------------------------------------------------------------------------------


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_every_folder_is_a_package() -> None:
    for folder in {file.parent for file in modules().values()}:
        assert (folder / "__init__.py").is_file(), f"{folder} is no package"


def test_no_import_names_a_program_without_its_package() -> None:
    """`import proxy` would find the folder of this checkout, and with it a second copy of every class."""
    bare = []
    for file in python_files():
        for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names.append(node.module or "")
            bare += [f"{file}:{node.lineno}" for name in names if name.partition(".")[0] in PACKAGES]
    assert bare == []
