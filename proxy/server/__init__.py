"""The HTTP server on aiohttp: routes, request and response bodies, operator endpoints, reload and shutdown."""
