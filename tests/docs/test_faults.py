"""The table of faults is whole, and every test that it names exists and is run."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SECTIONS: list[dict[str, Any]] = yaml.safe_load((ROOT / "docs/faults.yaml").read_text("utf-8"))
ROWS: list[dict[str, Any]] = [row for section in SECTIONS for row in section["rows"]]
LEFT = 3
"""The most faults that may be left."""


@cache
def run_tests(file: Path) -> frozenset[str]:
    """The test functions of a file that nothing skips by a mark of its own."""
    tree = ast.parse(file.read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(
        node.name
        for node in functions
        if node.name.startswith("test_") and not any("skip" in ast.unparse(mark) for mark in node.decorator_list)
    )


def test_every_fault_has_its_row() -> None:
    assert [row["number"] for row in ROWS] == list(range(1, 129))
    assert len([row for row in ROWS if "left" in row]) <= LEFT


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["number"]))
def test_its_tests_are_run(row: dict[str, Any]) -> None:
    if "left" in row:
        assert set(row) == {"number", "fault", "left"}
        return
    assert set(row) == {"number", "fault", "outcome", "tests"}
    assert row["tests"]
    for named in row["tests"]:
        path, _, name = named.partition("::")
        assert name in run_tests(ROOT / "tests" / path), named
