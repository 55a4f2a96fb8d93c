"""The connection to a Valkey or Redis server: runs batches of calls in the order in which they are given."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

from .settings import SCHEMES, StateSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

Call: TypeAlias = tuple[str, ...]
"""A command in capitals with its arguments, else an operation of the script with them."""

REASON = 200
"""Characters of an error that are shown."""


class StateFault(Exception):
    """The server cannot be used; the text says why, without a secret."""


class Connection:
    """One connection to the server. Every fault closes it; the next `open` makes another."""

    def __init__(self, settings: StateSettings) -> None:
        self._settings = settings
        self.root = f"{{{settings.prefix}}}"
        self._client: Redis | None = None
        self._script = ""

    async def open(self) -> None:
        """Connects, and gives the server the script; raises StateFault."""
        await self.close()
        self._client = self._connect()
        self._script = ""
        [sha] = await self.run([("SCRIPT LOAD", script())], self._settings.timeout_s * 4)
        self._script = sha.decode() if isinstance(sha, bytes) else str(sha)

    def _connect(self) -> Redis:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        settings = self._settings
        scheme, _, rest = (settings.url or "").partition("://")
        tls: dict[str, Any] = {}
        if SCHEMES[scheme] == "rediss":
            tls = {"ssl_check_hostname": True, "ssl_ca_certs": settings.ca_file}
        return Redis.from_url(
            f"{SCHEMES[scheme]}://{rest}",
            protocol=2,
            single_connection_client=True,
            socket_connect_timeout=settings.timeout_s * 4,
            retry=Retry(NoBackoff(), 0),  # whoever waits is bounded, and this is tried again by itself
            health_check_interval=0,
            **tls,
        )

    async def run(self, calls: Sequence[Call], timeout_s: float) -> list[Any]:
        """The answers to these calls in their order; raises StateFault where one fails, or all take longer than that.

        What a failed batch did is not known.
        """
        from redis.exceptions import AuthenticationError, RedisError

        if self._client is None:
            raise StateFault("it is not connected")
        try:
            async with asyncio.timeout(timeout_s), self._client.pipeline(transaction=False) as pipe:
                for call in calls:
                    if call[0].isupper():
                        pipe.execute_command(*call)
                    else:
                        pipe.execute_command("EVALSHA", self._script, 1, self.root, *call)
                answers = await pipe.execute(raise_on_error=False)
        except TimeoutError:
            await self.close()
            raise StateFault(f"it did not answer within {timeout_s:.3g} s") from None
        except AuthenticationError:
            await self.close()
            raise StateFault("it refused the user or the password") from None
        except (RedisError, OSError) as fault:
            await self.close()
            raise StateFault(str(fault)[:REASON] or type(fault).__name__) from None
        except BaseException:
            await self.close()
            raise
        for answer in answers:
            if isinstance(answer, Exception):
                await self.close()
                raise StateFault(f"it said: {str(answer)[:REASON]}")
        return answers

    async def close(self) -> None:
        """Disconnects; twice is harmless."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # it is gone either way
                await client.aclose()


def script() -> str:
    """The script that the server runs."""
    return files(__package__).joinpath("script.lua").read_text("utf-8")
