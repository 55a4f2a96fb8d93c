"""A pytest plugin that leaves the screen to the grid: no dots, no headers, only what failed and the closing line."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Count as ever, and print nothing for each test."""
    if report.when == "call" or report.failed or report.skipped:
        return report.outcome, "", ""
    return None


@pytest.hookimpl(hookwrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> object:
    """After the grid: the laws and snapshots that failed, in short."""
    yield
    for report in terminalreporter.stats.get("failed", []):
        if "test_cell" not in report.nodeid:
            text = str(report.longrepr).strip().splitlines()
            said = [line for line in text if line.startswith("E ")][:12]
            terminalreporter.write_line(f"✗ {report.nodeid.partition('::')[2]}")
            for line in said:
                terminalreporter.write_line(f"    {line[2:].strip()}")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> object:
    """`N passed, N failed` as the last line, after all that pytest itself has to say of the end."""
    yield
    terminalreporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminalreporter is None:
        return
    passed = len(terminalreporter.stats.get("passed", []))
    failed = len(terminalreporter.stats.get("failed", [])) + len(terminalreporter.stats.get("error", []))
    terminalreporter.write_line(f"{passed} passed, {failed} failed")
