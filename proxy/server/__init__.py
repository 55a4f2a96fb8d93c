"""The HTTP server: plain chats, all else on aiohttp, bodies, operator endpoints, reload and shutdown."""
