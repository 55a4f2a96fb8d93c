"""Tests of the mutants of the proxy."""
