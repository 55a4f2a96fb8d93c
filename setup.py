"""Maps the three programs' folders, the scenarios and the schemas, into one import package, `crosswire`."""

from setuptools import find_packages, setup

PROGRAMS = ("proxy", "mockserver", "conformance")

setup(
    packages=[
        *(f"crosswire.{top}{inner and '.' + inner}" for top in PROGRAMS for inner in ("", *find_packages(top))),
        "crosswire.scenarios",
        "crosswire.schemas",
    ],
    package_dir={f"crosswire.{top}": top for top in (*PROGRAMS, "scenarios", "schemas")},
)
