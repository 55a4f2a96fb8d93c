"""Backends: calls over HTTP with a protocol's encoders and decoders, and a local model in this process."""
