"""Crosswire's proxy: any LLM client to any LLM backend, with every loss named."""
