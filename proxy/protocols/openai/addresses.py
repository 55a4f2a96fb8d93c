"""The paths at which OpenAI's clients ask, those of Azure's among them."""

from __future__ import annotations

from ..protocol import with_and_without_version


def paths(path: str) -> tuple[str, ...]:
    """The path as OpenAI's clients have it, and as Azure's do, beside the version that their query names.

    https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle
    """
    return (*with_and_without_version(path), f"/openai/v1{path}", f"/openai{path}")


def deployed_paths(path: str) -> tuple[str, ...]:
    """The same paths, and the one that names a deployment in place of the body's model.

    https://learn.microsoft.com/azure/foundry/openai/reference
    """
    return (*paths(path), f"/openai/deployments/{{deployment}}{path}")
