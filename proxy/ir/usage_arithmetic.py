"""Makes the token counts of a reply agree with each other: a detail lies within its whole, the parts give the total."""

from __future__ import annotations

from .model import Usage
from .repairs import Repairs


def agreed_usage(
    *,
    prompt: int | None,
    output: int | None,
    cache_read: int | None = None,
    cache_write: int | None = None,
    reasoning: int | None = None,
    beside: int | None = None,
    total: int | None = None,
    repairs: Repairs,
) -> Usage | None:
    """Returns the usage for counts of which `prompt` includes the cached tokens and `output` those of the reasoning.

    Hosts count otherwise: the total then tells what lies outside, be it the reasoning, the cached tokens, or those of
    sound that some count `beside` the prompt. What a total has beyond all parts is output, because only thinking goes
    unreported. A total that is below its parts, or absent, tells nothing.
    """
    if prompt is None and output is not None and total is not None and total > output:
        prompt = total - output
    elif output is None and prompt is not None and total is not None and total > prompt:
        output = total - prompt
    cached, spare = (cache_read or 0) + (cache_write or 0), 0
    if prompt is not None and output is not None and total is not None:
        spare = total - prompt - output
    if spare > 0:
        repairs.add("usage_total")
        if spare != reasoning and spare in (cached, beside):
            prompt = (prompt or 0) + spare
        else:
            output = (output or 0) + spare
            reasoning = spare if reasoning is None else reasoning
    if prompt is not None and cached > prompt:
        repairs.add("usage_total")
        if cache_read is not None:
            cache_read = min(cache_read, prompt)
        if cache_write is not None:
            cache_write = min(cache_write, prompt - (cache_read or 0))
    if reasoning is not None and output is not None and reasoning > output:
        repairs.add("usage_total")
        reasoning = output
    new = None if prompt is None else prompt - (cache_read or 0) - (cache_write or 0)
    found = Usage(new, output, cache_read, cache_write, reasoning)
    return None if found == Usage() else found
