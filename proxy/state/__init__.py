"""State that replicas of the proxy share: limits, budgets and small facts, here or in a Valkey or Redis server."""
