"""Judges any gateway by the client's wire and the mock's journal: profiles, rules, verdicts, and their reports."""
