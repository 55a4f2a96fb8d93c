"""Token counts that agree with each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir.repairs import REPAIRS, Repairs
from crosswire.proxy.ir.usage_arithmetic import agreed_usage

COUNT = st.none() | st.integers(0, 5000)


@given(COUNT, COUNT, COUNT, COUNT, COUNT, COUNT, COUNT)
def test_property_a_detail_never_raises_its_whole(
    prompt: int | None,
    output: int | None,
    read: int | None,
    write: int | None,
    reasoning: int | None,
    beside: int | None,
    total: int | None,
) -> None:
    repairs = Repairs()
    found = agreed_usage(
        prompt=prompt,
        output=output,
        cache_read=read,
        cache_write=write,
        reasoning=reasoning,
        beside=beside,
        total=total,
        repairs=repairs,
    )
    assert set(repairs.names()) <= REPAIRS.keys()
    if found is None:
        assert prompt is None
        return
    assert all(value is None or value >= 0 for value in (found.input, found.output, found.cache_read, found.reasoning))
    if prompt is not None and output is not None:
        assert found.prompt is not None
        assert found.output is not None
        assert found.prompt + found.output == max(prompt + output, total or 0)
        assert found.prompt >= prompt
        assert found.output >= output
    if found.output is not None:
        assert (found.reasoning or 0) <= found.output
