"""Checks of one exchange: requests, replies, losses, errors, headers, routing, signatures and tool names."""
