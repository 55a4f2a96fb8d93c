"""Proxies with one fault each, and a correct one, to test that the matrix detects faults."""
