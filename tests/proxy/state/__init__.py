"""Tests of the state that replicas share."""
