"""The yardstick for failover: a plain aiohttp relay that tries the next backend, and knows nothing else."""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp
from aiohttp import web


async def _main(port: int, backends: list[str]) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        error = "nobody"
        for backend in backends:
            model = backend.partition("=")[0]
            sent = json.dumps({**json.loads(body), "model": model}).encode()
            url = backend.partition("=")[2] + request.path
            response: web.StreamResponse | None = None
            try:
                async with session.post(url, data=sent, headers={"content-type": "application/json"}) as answer:
                    if answer.status >= 500:
                        error = f"status {answer.status}"
                        continue
                    if answer.content_type != "text/event-stream":
                        return web.Response(body=await answer.read(), content_type="application/json")
                    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
                    async for chunk in answer.content.iter_any():
                        if not response.prepared:
                            await response.prepare(request)
                        await response.write(chunk)
                    await response.write_eof()
                    return response
            except (aiohttp.ClientError, OSError, TimeoutError) as fault:
                error = type(fault).__name__
                if response is not None and response.prepared:
                    raise
        return web.json_response({"error": {"message": error}}, status=502)

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2:]))
