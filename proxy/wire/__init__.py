"""Bytes and JSON: framing of streams, typed access to JSON fields, query strings."""
