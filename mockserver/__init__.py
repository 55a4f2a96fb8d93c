"""Mock server that simulates LLM providers from YAML scenarios; imports nothing of the proxy under test."""
