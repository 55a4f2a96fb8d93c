"""Scenarios: the types of providers and stories, their loader, and the parsers of each YAML form."""
