"""Compares a provider's capabilities with a story's needs: supported, missing, or to be refused by the proxy."""

from __future__ import annotations

from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.story import Story

from ..matrix.expectations import Expectations


def supports(provider: Provider, story: Story) -> bool:
    """Returns True if the provider has every capability that the story needs; an empty list means all."""
    needs = set(story.needs)
    return not provider.capabilities or needs <= set(provider.capabilities)


def missing(provider: Provider, story: Story) -> set[str]:
    """Returns the capabilities that the story needs and the provider does not have."""
    return set() if supports(provider, story) else set(story.needs) - set(provider.capabilities)


def must_refuse(provider: Provider, story: Story, matrix: Expectations) -> set[str]:
    """Returns the features of the story that the provider's protocol cannot express, so that the proxy must refuse."""
    side = matrix.protocols[provider.protocol].backend
    features = side.refuses.keys() | (side.losses.keys() if story.is_strict else set())
    return {feature for feature in (*story.needs, *story.refused) if feature in features}
