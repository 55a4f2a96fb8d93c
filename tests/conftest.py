"""Settings of Hypothesis: the same examples in every run, so that a failing run can be repeated, and no deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("crosswire", derandomize=True, deadline=None)
settings.load_profile("crosswire")
