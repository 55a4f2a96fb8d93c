"""Retries and circuit breakers, as pure functions of a given clock."""
