"""The names of repairs, and the stop reason that agrees with the calls."""

from __future__ import annotations

import re

import pytest

from crosswire.proxy.ir import StopReason
from crosswire.proxy.ir.repairs import REPAIRS, Repairs, agreed_stop

from ...source_tree import ROOT


def test_every_repair_is_made_somewhere() -> None:
    source = "".join(file.read_text("utf-8") for file in (ROOT / "proxy").rglob("*.py") if file.name != "repairs.py")
    source += (ROOT / "proxy/ir/repairs.py").read_text("utf-8").partition("def agreed_stop")[2]
    unused = [name for name in REPAIRS if not re.search(rf'(add|repaired)\(\(?"{name}"|_found.add\("{name}"', source)]
    assert unused == []


def test_repairs_are_distinct_and_in_order() -> None:
    repairs = Repairs()
    assert not repairs
    repairs.add("index")
    repairs.extend(("bom", "index"))
    assert repairs.names() == ("index", "bom")
    assert repairs


STOPS: list[tuple[StopReason, bool | None, StopReason, tuple[str, ...]]] = [
    ("end", True, "tool", ("stop_with_call",)),
    ("other", True, "tool", ("stop_with_call",)),
    ("length", True, "length", ()),
    ("tool", False, "end", ("stop_without_call",)),
    ("tool", None, "tool", ()),
    ("tool", True, "tool", ()),
    ("end", None, "end", ()),
]


@pytest.mark.parametrize(("stop", "called", "agreed", "names"), STOPS)
def test_the_calls_decide(stop: StopReason, called: bool | None, agreed: StopReason, names: tuple[str, ...]) -> None:
    repairs = Repairs()
    assert agreed_stop(stop, called, repairs) == agreed
    assert repairs.names() == names
