"""Maps the three programs' folders, and the scenarios, into one import package, `crosswire`."""

from setuptools import find_packages, setup

PROGRAMS = ("proxy", "mockserver", "conformance")

setup(
    packages=[
        *(f"crosswire.{top}{inner and '.' + inner}" for top in PROGRAMS for inner in ("", *find_packages(top))),
        "crosswire.scenarios",
    ],
    package_dir={f"crosswire.{top}": top for top in (*PROGRAMS, "scenarios")},
)
