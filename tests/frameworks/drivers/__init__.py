"""A driver for each framework: the same four tasks in its own words."""
