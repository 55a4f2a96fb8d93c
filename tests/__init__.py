"""A package, so that files of one name under tests/proxy and tests/mockserver are two modules."""
