"""pytest plugin for programs that call LLMs: the mock server, and the proxy before it, as fixtures."""
