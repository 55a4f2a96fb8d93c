"""The proxy's tests."""
