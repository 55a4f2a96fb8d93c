"""The mock server: it plays LLM providers from YAML scenarios, and imports nothing of the proxy that it referees."""
