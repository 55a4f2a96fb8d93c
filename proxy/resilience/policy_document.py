"""Writes docs/failover-policy.md from the policy table: `python -m crosswire.proxy.resilience.policy_document`."""

from __future__ import annotations

from .circuit_breaker import BreakerSettings
from .policy import POLICY, Evidence
from .retry import RetryBudget, RetrySettings

_EVIDENCE: dict[Evidence, str] = {
    "each": "every failure counts",
    "once": "once for a request body, until another backend answers that body; then every failure",
    "none": "says nothing",
    "alive": "shows that the backend is up",
}

_TEXT = """# Failover policy

What happens after a failure, as long as no content of an answer went to the client. Once content went out the stream
ends with the client protocol's own error and nothing is tried again. This file is written from the table in
`proxy/resilience/policy.py`, which is also what runs.

| kind of failure | which | next key of the backend | next backend | same backend again | circuit breaker |
|---|---|---|---|---|---|
{rows}

## Cost

- The first call of another backend is free, and so is every call with another key. Only a repeat against the same
  backend is paid from that backend's own retry budget: {budget:g} for each request that calls it and {floor:g} for each
  second, at most {cap:g} saved up. A repeat that is answered is paid back. Failures of the proxy's own (names, file
  descriptors) cost nothing.
- A request that must wait for the budget shares the outcome of the calls that begin meanwhile: if one fails, its own
  would most likely have failed; if one is answered, it may go.
- A request that fails on a connection of the pool within a second, before any byte of an answer, is sent once more on
  a new connection, because the server had closed the idle one; that costs nothing and no circuit breaker hears of it.

## Order

- Candidates are called in rounds, in each of which every candidate is called once, but that in the first one the others
  are repeated before one with an open breaker is called; there are `retry.attempts` rounds
  ({attempts} by default). If one backend that may serve the request is up from the first call to `retry.deadline_s`
  ({deadline:g} s), the request is answered; if the one that is up changes k times meanwhile, it is answered while k is
  at most `attempts - 1`.
- Before the same backend is called again there is a wait drawn from 0 to {base:g} s, 0 to {second:g} s and so on up to
  {longest:g} s, or the `retry-after` that the backend sent, if it is at most `retry.max_wait_s` ({wait:g} s). A longer
  one goes to the client, capped at `retry.max_retry_after_s` ({most:g} s).
- A backend whose circuit breaker is open ({failures} failures within {window:g} s without a success; open for
  {opened:g} s) is called after all others. Where the breakers of all candidates are open, the one that was left alone
  longest is called first, by at most `breaker.panic` ({panic}) requests at once.
- A backend that sent a `retry-after` is called after the others until that time is over, for the same model.

## What stays with one backend

A request that refers to what one account keeps (`previous_response_id`, `conversation`, `prompt`, `item_reference`,
`background`, `container`, `cachedContent`, an uploaded `file_id`) is never sent to another backend or key, and is
repeated only where nothing of it can have been done: no connection, 429, 503. The error says so.

## What the client hears where nobody is left

401, 402 and 403 are for the client's own key, budget and permission. What a backend refused the proxy is a 502 whose
code and message name the kind (`upstream_auth`, `upstream_quota`, `upstream_region`, `upstream_moderation`,
`upstream_forbidden`), with `x-should-retry: false`; a quota that ends at a known time is a 503 with `retry-after`.
"""


def render() -> str:
    """Returns the text of docs/failover-policy.md."""
    retry, breaker = RetrySettings(), BreakerSettings()
    yes = {True: "yes", False: "no"}
    rows = [
        f"| `{kind}` | {rule.meaning} | {yes[rule.next_key]} | {yes[rule.elsewhere]} "
        f"| {'after a wait' + (', free' if rule.free else '') if rule.again else 'no'} | {_EVIDENCE[rule.evidence]} |"
        for kind, rule in POLICY.items()
    ]
    rows.append("| `not_found`, `model_not_found` | 404 | no | where a route lists others | no | shows that it is up |")
    rows.append("| every other | the request is at fault: 400, 413, 422 | no | no | no | shows that it is up |")
    return _TEXT.format(
        rows="\n".join(rows),
        budget=retry.budget,
        floor=retry.floor_per_s,
        cap=RetryBudget.CAP,
        attempts=retry.attempts,
        deadline=retry.deadline_s,
        base=retry.base_s,
        second=retry.base_s * 2,
        longest=retry.cap_s,
        wait=retry.max_wait_s,
        most=retry.max_retry_after_s,
        failures=breaker.failures,
        window=breaker.window_s,
        opened=breaker.open_s,
        panic=breaker.panic,
    )


if __name__ == "__main__":
    print(render(), end="")
