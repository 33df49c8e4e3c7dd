"""Recordings with labels -> feature caches -> training chunks."""
