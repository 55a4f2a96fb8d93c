"""A chat request encoded for one candidate."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir import Reply
from ..protocols.protocol import UpstreamRequest
from .failover_chain import PreparedCall
from .loss_policy import LossPolicy
from .relay import Relay


class ChatCall(PreparedCall, frozen=True, kw_only=True):
    """With `relay` the body is the client's own, else the encoded payload of `sent`; `headers` are the client's.

    `reply` is the proxy's own answer to a request that asks for no generation.
    """

    sent: UpstreamRequest
    relay: Relay | None
    headers: Mapping[str, str]
    policy: LossPolicy
    reply: Reply | None = None
