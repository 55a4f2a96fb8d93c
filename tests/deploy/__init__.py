"""Tests of what `deploy/` holds, with the programs that it is for, as far as they are installed."""
