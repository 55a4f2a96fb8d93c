"""Finds the folders of scenarios: those that ship with the package, and those of the user."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[2] / "scenarios"
"""The scenarios that ship with the package; in a checkout the folder `scenarios/`."""


def scenario_folders(overlay: Path | None = None) -> tuple[Path, ...]:
    """The folders to load, files of later ones replacing those of the same name.

    An overlay lies over the shipped folder. Without one it is `./scenarios` if that exists, else the shipped folder.
    """
    if overlay is not None:
        return SHIPPED, overlay
    here = Path("scenarios")
    return (here,) if here.is_dir() else (SHIPPED,)
