"""Trouble of the proxy's own account is the same failure in the words of any host."""

from __future__ import annotations

import json

import pytest

from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.wire.account_trouble import account_kind

ACCOUNT: list[tuple[int, str, str]] = [
    (400, "Your credit balance is too low to access the Anthropic API.", "upstream_quota"),
    (429, "Insufficient balance or no resource package. Please recharge.", "upstream_quota"),
    (400, "Billing hard limit has been reached", "upstream_quota"),
    (400, "Access denied, please make sure your account is in good standing.", "upstream_quota"),
    (400, "User location is not supported for the API use.", "upstream_region"),
    (403, "Country, region, or territory not supported", "upstream_region"),
    (400, "API key not valid. Please pass a valid API key.", "upstream_auth"),
    (400, "API key expired. Please renew the API key.", "upstream_auth"),
    (400, "This organization has been disabled.", "upstream_auth"),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("status", "sentence", "kind"), ACCOUNT)
def test_trouble_of_the_proxys_own_account_is_known_in_the_words_of_any_host(
    status: int, sentence: str, kind: str, protocol: str
) -> None:
    """Google's compatible address, for one, says in chat's shape what Gemini says."""
    body = json.dumps({"error": {"message": sentence}}).encode()
    failure = PROTOCOLS[protocol].decode_failure(status, body, None)
    assert (failure.kind, failure.status) == (kind, 502)
    assert PROTOCOLS[protocol].decode_failure(404, body, None).kind != kind


@pytest.mark.parametrize(("message", "status"), [(None, 400), ("Invalid 'user'", 400), (ACCOUNT[0][1], 500)])
def test_what_is_about_the_request(message: str | None, status: int) -> None:
    assert account_kind(message, status) is None
