"""Mutation tests of the suite: breakages of the proxy, planted one at a time, that a check of the matrix must find."""
