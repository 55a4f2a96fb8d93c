"""Tests with the official SDKs as clients of the proxy."""
