"""A model in the proxy's own process, by mlx-lm: one thread loads, batches, decodes and frees; the loop only listens.

Only `runtime` and `constraint` import what the extra `local` installs, and they are imported by that thread alone.
"""
