"""Replay of recorded traffic through the protocols, in memory and over sockets."""
