"""Recognises a refusal that is about the proxy's own account, key or place, by its sentence, whichever host wrote it.

Compatible addresses and gateways pass on the sentences of other vendors, often with the status of a bad request.
"""

from __future__ import annotations

import re

_SENTENCES: tuple[tuple[re.Pattern[str], frozenset[int], str], ...] = tuple(
    (re.compile("|".join(patterns), re.IGNORECASE), statuses, kind)
    for patterns, statuses, kind in (
        (
            (
                # 400 of Anthropic: "Your credit balance is too low to access the Anthropic API. Please go to Plans &
                # Billing to upgrade or purchase credits." https://github.com/anthropics/claude-code/issues/4207
                r"credit balance is too low",
                # "You have reached your specified API usage limits. You will regain access on 2026-04-01 at 00:00 UTC."
                # https://github.com/anthropics/claude-code/issues/38035, of a workspace too
                # https://github.com/anthropics/claude-code/issues/55998
                r"reached your specified (?:workspace )?API usage limits",
                # 429 and 403 of xAI: "Your team … has either used all available credits or reached its monthly spending
                # limit." https://github.com/continuedev/continue/issues/10373
                r"used all available credits",
                # 429 of Z.ai: "Insufficient balance or no resource package." https://github.com/vercel/ai/issues/9290
                r"insufficient balance",
                # 403 of OpenRouter: "Key limit exceeded (monthly limit)." https://github.com/gptme/gptme/issues/1449
                r"key limit exceeded",
                # 400 of OpenAI https://github.com/dfinke/PowerShellAI/issues/127
                r"billing hard limit has been reached",
                # 400 of Alibaba: "Access denied, please make sure your account is in good standing."
                # https://www.alibabacloud.com/help/en/model-studio/error-code
                r"make sure your account is in good standing",
            ),
            frozenset((400, 403, 429)),
            "upstream_quota",
        ),
        (
            (
                # "403 - Country, region, or territory not supported"
                # https://platform.openai.com/docs/guides/error-codes
                r"country, region, or territory not supported",
                # 400 of Gemini: "User location is not supported for the API use."
                # https://discuss.ai.google.dev/t/gemini-api-location-support/454
                r"location is not supported",
                # "Gemini API free tier is not available in your country. Please enable billing on your project in
                # Google AI Studio." https://ai.google.dev/gemini-api/docs/troubleshooting
                r"not available in your country\.",
                # 400 of Bedrock: "Access to Anthropic models is not allowed from unsupported countries, regions, or
                # territories." https://github.com/anthropics/claude-code/issues/2656
                r"unsupported countries, regions",
            ),
            frozenset((400, 403, 429)),
            "upstream_region",
        ),
        (
            (
                # 400 of xAI: "Incorrect API key provided", percent-encoded at times.
                # https://github.com/continuedev/continue/issues/10778
                # https://github.com/i-am-bee/beeai-framework/issues/447
                r"^incorrect(?: |%20)api(?: |%20)key",
                # 400 of Google: "API key not valid. Please pass a valid API key.", "API key expired. Please renew the
                # API key." https://ai.google.dev/gemini-api/docs/troubleshooting
                r"^API key (?:not valid|expired)\b",
                # 400 of Anthropic https://github.com/anthropics/claude-code/issues/19028
                r"organization has been disabled",
            ),
            frozenset((400,)),
            "upstream_auth",
        ),
    )
)


def account_kind(message: str | None, status: int | None) -> str | None:
    """Returns the kind of a refusal with this message and HTTP status; None where it is not about the account."""
    if message is None:
        return None
    return next((kind for told, statuses, kind in _SENTENCES if status in statuses and told.search(message)), None)
