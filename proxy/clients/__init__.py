"""Clients: who may use the proxy, by which key or token, and for what."""
