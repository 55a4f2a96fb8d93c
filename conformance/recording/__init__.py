"""Records the traffic of a client with a real provider, and writes it as redacted stories for the mock."""
