"""Exit codes of the command line."""

OK = 0
FAILED = 1
"""A finding: the question was answered with no."""
USAGE = 2
"""A wrong call or a wrong config."""
ENVIRONMENT = 3
"""The machine's fault: a port that is taken, a file that cannot be written."""
