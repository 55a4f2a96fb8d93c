"""List of the mock's rules: as lines of text, or as JSON."""

from __future__ import annotations

import json
from typing import Any

from .protocols import MOCK_PROTOCOLS


def rule_records(protocol: str | None = None) -> list[dict[str, Any]]:
    """Returns every rule, or those of one protocol, in the order of the service's checks."""
    return [
        {
            "id": f"{name}/{rule.id}",
            "protocol": name,
            "says": rule.says,
            "source": rule.source,
            "checked": rule.checked,
            "status": rule.status,
            "code": rule.code,
            "param": rule.param,
            "message": rule.message,
            "own_words": rule.own_words,
            "skipped_by_lenient_hosts": rule.strict,
            "endpoints": list(rule.on),
        }
        for name, found in MOCK_PROTOCOLS.items()
        if protocol in (None, name)
        for rule in found.rules
    ]


def rules_as_json(protocol: str | None = None) -> str:
    """Returns the rules as a JSON array."""
    return json.dumps(rule_records(protocol), ensure_ascii=False, indent=2)


def rules_as_text(protocol: str | None = None) -> str:
    """Returns the rules as text: id, status and message, and below them what the vendor says and where."""
    lines = []
    for record in rule_records(protocol):
        words = " (our words)" if record["own_words"] else ""
        lines.append(f"{record['id']}  {record['status']}  {record['message'].strip()}{words}")
        lines.append(f"    {record['says']}")
        lines.append(f"    {record['source']}, read {record['checked']}")
    return "\n".join(lines)
