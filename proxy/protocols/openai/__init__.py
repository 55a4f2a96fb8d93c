"""Rules that OpenAI's two protocols share: errors, media, content, usage and tables. Each protocol imports from here.

A rule that only looks alike, such as each protocol's list of error codes, stands in that protocol's folder.
"""
