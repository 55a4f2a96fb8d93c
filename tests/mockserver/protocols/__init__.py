"""Tests of single protocols."""
