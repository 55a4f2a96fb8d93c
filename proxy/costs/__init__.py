"""Costs: prices of models as data, the cost of a request, and budgets. Money is counted in billionths of a dollar."""
