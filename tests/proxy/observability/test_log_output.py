"""The program's own log lines: nothing that a client or an upstream writes can break a line or steer a terminal."""

from __future__ import annotations

import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.observability.log_output import EscapingFormatter, LogOutput, escape, escape_messages

from ..proxy_fixture import config, one, stage
from ..sample_messages import ask, dumps, reply
from ..scripted_upstream import http, upstream

TRICK = "first\r\n2026-01-01 00:00:00 forged \x1b[31mred\x07 \u202eback\u2028 \x9b1m \x00"


@given(st.text(st.characters(codec=None)))
def test_property_escaped_text_is_one_line_without_control_characters(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in escaped)
    escaped.encode()


def test_ordinary_text_stays_as_it_is() -> None:
    text = "✓ Model 'fast' → backend 'b': Grüße, 模型 🚀"
    assert escape(text) == text


def test_every_handler_gets_escaped_messages(caplog: pytest.LogCaptureFixture) -> None:
    escape_messages()
    escape_messages()
    for name in ("crosswire", "crosswire.http"):
        logging.getLogger(name).warning("%s failed: %s 100%%", "b", TRICK)
    for record in caplog.records:
        assert record.getMessage().startswith(
            r"b failed: first\r\n2026-01-01 00:00:00 forged \x1b[31mred\x07 \u202eback"
        )
        assert record.getMessage().endswith("100%")


async def test_an_upstreams_words_in_a_warning_are_escaped(caplog: pytest.LogCaptureFixture) -> None:
    text = dumps({"error": {"message": TRICK, "type": "rate_limit_error"}})
    scripts = [http(text, status="429 Too Many Requests")], [http(dumps(reply("ollama")))]
    async with upstream(scripts[0]) as a, upstream(scripts[1]) as b:
        backends = {**one("anthropic", a.url, priority=1), "c": {"protocol": "ollama", "base_url": b.url}}
        async with stage(config(backends, retry={"attempts": 2})) as it:
            assert (await it.ask("/v1/messages", ask("anthropic"))).status == 200
    warned = [record.getMessage() for record in caplog.records if "falling back" in record.getMessage()]
    assert warned
    assert r"forged \x1b[31m" in warned[0]
    assert not any(ord(char) < 32 for char in warned[0])


def test_a_traceback_cannot_pass_for_a_line() -> None:
    formatter = EscapingFormatter("%(message)s")
    try:
        raise ValueError(TRICK)
    except ValueError as fault:
        record = logging.LogRecord("x", logging.ERROR, "", 0, f"it broke: {TRICK}", (), (type(fault), fault, None))
    first, *rest = formatter.format(record).split("\n")
    assert first.startswith("it broke: first\\r\\n")
    assert rest
    assert all(line.startswith("  ") for line in rest)
    assert "\x1b" not in "".join(rest)


def test_a_reader_that_stalls_does_not_stop_who_logs() -> None:
    read, write = os.pipe()
    output = LogOutput(write)
    output.set_limits(50_000, 0.05)
    logger = logging.Logger("test")
    logger.addHandler(output)
    for _ in range(2000):
        logger.warning("x" * 200)
    output.close()
    os.set_blocking(read, False)
    assert os.read(read, 2**20).count(b"\n") > 10
    os.close(read)
    os.close(write)
