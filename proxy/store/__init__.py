"""The store: mappings, settings and the providers' credentials in a database, SQLite's one file or PostgreSQL.

It knows nothing of requests: what the proxy serves by is a Snapshot of it, read at start and after each change. Its
libraries are the extra `store`; only `snapshot` works without them.
"""
