"""Tests of the table of traits."""
