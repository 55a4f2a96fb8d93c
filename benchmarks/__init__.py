"""Figures, always as ratios measured side by side in one run: the proxy beside a plain aiohttp relay."""
