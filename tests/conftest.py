"""What all tests share: the same generated cases in every run, so that a failure is of the code."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same cases", derandomize=True)
settings.load_profile("same cases")
