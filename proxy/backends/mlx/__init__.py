"""Backend for a local model: runs mlx-lm in the proxy's process, on one thread that batches all requests.

Only `runtime`, `sampling` and `logits_processor` import what the extra `local` installs; `backend` imports them on
that thread, with the first request.
"""
