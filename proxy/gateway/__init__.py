"""The path of one request through the proxy: context, handlers, attempts, streaming, relay and keep-alive."""
