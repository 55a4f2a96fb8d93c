"""The Python API stood here; it is exported by the package now."""

raise ImportError("proxy.embed is gone; write: from crosswire.proxy import BackendRouter")
