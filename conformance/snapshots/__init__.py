"""Snapshots of requests, replies and decisions: their views and their files."""
