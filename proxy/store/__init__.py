"""The store: mappings, settings and credentials in a database, SQLite or PostgreSQL.

Requests never access the database: the proxy uses a Snapshot, read at start and after each change. The libraries are
in the extra `store`; only the module `snapshot` works without them.
"""
