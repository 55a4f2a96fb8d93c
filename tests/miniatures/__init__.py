"""Miniature proxies that lie, one lie a function, and an honest one: what the referee itself is judged by."""
