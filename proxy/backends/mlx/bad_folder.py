"""The error of a folder that holds no usable model."""

from __future__ import annotations


class BadFolder(Exception):
    """The folder holds no usable model; the message says what is missing and what to do."""
