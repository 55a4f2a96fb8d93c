"""Catalogue of what users of LLM gateways complain about, with the stories and tests that hold each case."""
