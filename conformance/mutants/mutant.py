"""Types of the mutants' table: mutants, their patches and cells, and the combinations that have none."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Direction = Literal["request", "reply"]


class Patch(Struct, frozen=True, forbid_unknown_fields=True):
    """One change of a file of the proxy; `operator` says in a word or two what kind of change it is.

    Either `find`, which must occur once (in the function `within`, if given), becomes `replace`; blanks and line breaks
    of `find` match any others. Or code runs `before` and `after` a `function` or method: `args` is the list of its
    arguments, `out` its result, and both may be changed.
    """

    file: str
    operator: str
    within: str = ""
    find: str = ""
    replace: str = ""
    function: str = ""
    before: str = ""
    after: str = ""


class CellGlobs(Struct, frozen=True, forbid_unknown_fields=True):
    """Globs of the cells that a mutant may touch, each list a choice; an empty one stands for all."""

    frontend: tuple[str, ...] = ()
    provider: tuple[str, ...] = ()
    story: tuple[str, ...] = ()
    mode: Literal["both", "stream", "unary"] = "both"


class Mutant(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A deliberate breakage of the proxy.

    `covers` holds words of the loss table and subjects of SUBJECTS, `loses` what a user would lose by it. `survives`
    is the reason why no check finds it yet; without one the suite must find it.
    """

    name: str
    covers: tuple[str, ...]
    direction: Direction
    protocols: tuple[str, ...]
    loses: str
    patches: tuple[Patch, ...]
    cells: CellGlobs
    survives: str = ""


class Gap(Struct, frozen=True, forbid_unknown_fields=True):
    """Combinations of loss word, direction and protocol without a mutant, and the reason."""

    words: tuple[str, ...]
    directions: tuple[Direction, ...]
    protocols: tuple[str, ...]
    because: str


class Survivors(Struct, frozen=True, forbid_unknown_fields=True):
    """Globs of the names of mutants that no check finds yet, and the reason."""

    survivors: tuple[str, ...]
    because: str


SUBJECTS = (
    *("block.text", "block.refusal", "block.image", "block.document", "block.audio", "block.reasoning"),
    *("block.tool_call", "block.tool_result", "block.opaque"),
    *("stream", "usage", "stop", "error", "routing", "header", "relay", "tool"),
)
"""Subjects of mutants beside the words of the loss table: kinds of blocks, and parts of an exchange."""
