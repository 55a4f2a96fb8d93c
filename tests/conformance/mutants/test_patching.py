"""Patches of mutants apply where they fit exactly one place, and are an error anywhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosswire.conformance.mutants.mutant import CellGlobs, Mutant, Patch
from crosswire.conformance.mutants.patching import PatchError, apply_patch, mutated_sources

SOURCE = """
def first(a: int) -> int:
    return a + \\
        1

class Thing:
    def first(self, a):
        return a + 2

    def second(self):
        return first(3)
"""


def patch(**fields: str) -> Patch:
    return Patch(file="thing.py", operator="change", **fields)


GOOD: tuple[tuple[str, Patch, str], ...] = (
    ("a text", patch(find="a + 2", replace="a + 4"), "Thing().first(0) == 4"),
    (
        "a text over several lines",
        patch(find="def second(self): return first(3)", replace="second = None"),
        "Thing.second is None",
    ),
    (
        "a text that is unique in a method",
        patch(within="Thing.first", find="return a", replace="return -a"),
        "Thing().first(5) == -3",
    ),
    ("code after a function", patch(function="first", after="out = out * 10"), "Thing().second() == 40"),
    ("code before a method", patch(function="Thing.first", before="args[1] = 100"), "Thing().first(0) == 102"),
    (
        "code on both sides",
        patch(function="first", before="kept = args[0]", after="out = kept, out"),
        "first(7) == (7, 8)",
    ),
)

BAD: tuple[tuple[str, Patch, str], ...] = (
    ("a text that is not there", patch(find="a + 3", replace="a"), "occurs 0 times in the file"),
    ("a text that is there twice", patch(find="return a +", replace="return a -"), "occurs 2 times in the file"),
    ("a text of another function", patch(within="first", find="a + 2", replace="a"), "occurs 0 times in first"),
    ("a function that is not there", patch(within="third", find="a", replace="b"), "there is no third"),
    ("a method that is not there", patch(function="Thing.third", after="out = 1"), "there is no Thing.third"),
    ("nothing to find", patch(replace="a"), "neither `find` nor `function`"),
    ("no change", patch(find="a + 2", replace="a + 2"), "it changes nothing"),
    ("no code", patch(function="first"), "it changes nothing"),
    ("a result that is no Python", patch(find="a + 2", replace="a +"), "invalid syntax"),
)


@pytest.mark.parametrize(("change", "true"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_a_patch_that_fits_is_applied(change: Patch, true: str) -> None:
    names: dict[str, object] = {}
    exec(apply_patch(SOURCE, change), names)  # noqa: S102 - the source above
    assert eval(true, names)  # noqa: S307 - the expressions above


@pytest.mark.parametrize(("change", "reason"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_patch_that_does_not_fit_is_an_error(change: Patch, reason: str, tmp_path: Path) -> None:
    (tmp_path / "thing.py").write_text(SOURCE)
    mutant = Mutant(
        name="broken", covers=(), direction="reply", protocols=(), loses="", patches=(change,), cells=CellGlobs()
    )
    with pytest.raises(PatchError, match=r"broken: the patch of thing\.py does not apply") as raised:
        mutated_sources(mutant, tmp_path)
    assert reason in str(raised.value)


def test_several_patches_of_one_file_add_up(tmp_path: Path) -> None:
    (tmp_path / "thing.py").write_text(SOURCE)
    patches = (patch(find="a + 2", replace="a + 4"), patch(function="Thing.first", after="out = -out"))
    mutant = Mutant(
        name="two", covers=(), direction="reply", protocols=(), loses="", patches=patches, cells=CellGlobs()
    )
    names: dict[str, object] = {}
    exec(mutated_sources(mutant, tmp_path)["thing.py"], names)  # noqa: S102
    assert eval("Thing().first(1)", names) == -5  # noqa: S307


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    mutant = Mutant(
        name="lost", covers=(), direction="reply", protocols=(), loses="", patches=(patch(find="a"),), cells=CellGlobs()
    )
    with pytest.raises(PatchError, match=r"lost: the patch of thing\.py"):
        mutated_sources(mutant, tmp_path)
