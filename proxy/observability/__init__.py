"""Observability: the record of each request, log files and metrics."""
