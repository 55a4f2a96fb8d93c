"""The fixed clock of every proxy of the suite."""

from __future__ import annotations

PROXY_CREATED = 1_770_000_000
"""Creation time (Unix seconds) in every reply of the proxy, fixed so that snapshots are stable."""
