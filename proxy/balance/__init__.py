"""Balancing among equal targets and keys: strategies, measures of targets, key rings, budgets of second calls."""
