"""How the laws are tried: the same examples in every run, so that a red run can be run again, and no example timed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("crosswire", derandomize=True, deadline=None)
settings.load_profile("crosswire")
