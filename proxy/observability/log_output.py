"""Writes the program's own log lines: control characters escaped, from a thread, so that no stalled reader stops it."""

from __future__ import annotations

import logging
import re

from .log_writer import LineWriter

LOGGERS = ("crosswire", "crosswire.http")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn the direction of a text among them, and halves of surrogate pairs."""


def escape(text: str) -> str:
    """Returns the text on one line, its control characters as escapes, so that it does nothing to a terminal."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escape_messages() -> None:
    """Escapes the messages of all loggers of the proxy, whichever handlers they have; twice is harmless."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_escape_message)


def _escape_message(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    if _CONTROL.search(text):
        record.msg, record.args = escape(text), ()
    return True


class EscapingFormatter(logging.Formatter):
    """Formats a record on one line; the lines of a traceback follow indented, so that none can pass for a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return escape(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        return _indented(super().formatException(ei))  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:
        return _indented(stack_info)


def _indented(text: str) -> str:
    return "\n".join(f"  {escape(line)}" for line in text.split("\n"))


class LogOutput(logging.Handler):
    """A handler that never blocks: lines that cannot be written for a while are dropped."""

    def __init__(self, handle: int) -> None:
        super().__init__()
        self.setFormatter(EscapingFormatter("%(asctime)s %(message)s"))
        self._writer = _Output(handle, "standard error")

    def set_name(self, name: str) -> None:
        """Names the process in each line, where several write into one log."""
        self.setFormatter(EscapingFormatter(f"%(asctime)s [{name}] %(message)s"))

    def set_limits(self, limit: int, end_s: float) -> None:
        """Sets the bytes that may wait, and the seconds that they get at the end."""
        self._writer.limit, self._writer.end_s = limit, end_s

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.put(f"{self.format(record)}\n".encode(errors="backslashreplace"))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Writes what waits, as far as that does not take too long."""
        self._writer.close()
        super().close()


class _Output(LineWriter):
    what = "log output"
    reports = False
