"""The matrix: its cells, how one is played, its result, and the expectations of each protocol."""
