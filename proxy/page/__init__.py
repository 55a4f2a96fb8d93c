"""The operator's page at `/ui`: its sessions, the data that it shows as JSON, and its HTML, script and style."""
