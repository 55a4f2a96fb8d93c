"""Tests of the recording of traffic."""
