"""Runs as a JUnit report, which continuous integration systems read: a suite for each run, a case for each cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from .verdict import LABELS, CellVerdict, TargetRun

NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot express, even escaped: https://www.w3.org/TR/xml/#charsets"""


def junit(runs: Sequence[TargetRun]) -> bytes:
    """Returns the report; a cell that is not fine is a failure, one that is not offered is skipped."""
    suites = Element("testsuites", name="crosswire-matrix")
    for run in runs:
        failed = sum(not cell.fine for cell in run.cells)
        suite = SubElement(
            suites,
            "testsuite",
            name=f"{run.gateway.name} {run.gateway.version}".strip(),
            tests=str(len(run.cells)),
            failures=str(failed),
            errors="0",
            skipped=str(run.outcomes.get("not-offered", 0)),
            timestamp=run.at,
        )
        for cell in run.cells:
            _case(suite, cell)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + tostring(suites, encoding="unicode").encode()


def _case(suite: Element, cell: CellVerdict) -> None:
    mode = "stream" if cell.stream else "unary"
    case = SubElement(suite, "testcase", classname=f"{cell.frontend}.{cell.provider}", name=f"{cell.story}-{mode}")
    if cell.outcome == "not-offered":
        SubElement(case, "skipped", message=_text(cell.reason))
    elif not cell.fine:
        failure = SubElement(case, "failure", type=cell.outcome, message=LABELS[cell.outcome])
        failure.text = _text(
            "\n".join(f"{LABELS[each.outcome]}: {each.what}\n  {each.says} {each.source}" for each in cell.findings)
        )


def _text(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
