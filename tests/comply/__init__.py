"""Tests with llm-comply, a compliance suite by another author."""
