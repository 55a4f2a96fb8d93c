"""The matrix with the proxy's local model as the backend."""
