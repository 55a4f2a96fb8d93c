"""Frameworks above the SDKs as clients of the proxy, by backends of other protocols."""
