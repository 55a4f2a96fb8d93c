"""pytest plugin for the output of a run: no dots and headers, only the grid, the failures and the closing line."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

NO_REPORT = SimpleNamespace(lines=())
"""Replaces syrupy's report, which warns that its search for unused snapshots is off: a test of the suite does that."""


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Counts each test as usual, but prints nothing for it."""
    if report.when == "call" or report.failed or report.skipped:
        return report.outcome, "", ""
    return None


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> object:
    """Prints the failed invariants and snapshots in short form after the grid, and nothing of syrupy's own summary."""
    syrupy = getattr(terminalreporter.config, "_syrupy", None)
    if syrupy is not None:
        syrupy.report = NO_REPORT
    yield
    for report in terminalreporter.stats.get("failed", []):
        if "test_cell" not in report.nodeid:
            text = str(report.longrepr).strip().splitlines()
            errors = [line for line in text if line.startswith("E ")][:12]
            terminalreporter.write_line(f"✗ {report.nodeid.partition('::')[2]}")
            for line in errors:
                terminalreporter.write_line(f"    {line[2:].strip()}")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> object:
    """Prints `N passed, N failed` as the last line, after pytest's own output."""
    yield
    terminalreporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminalreporter is None:
        return
    passed = len(terminalreporter.stats.get("passed", []))
    failed = len(terminalreporter.stats.get("failed", [])) + len(terminalreporter.stats.get("error", []))
    terminalreporter.write_line(f"{passed} passed, {failed} failed")
