"""Prefixes kept between calls: keys, values, hidden states and factors of paths that several texts share.

Suggested reading order: `store` (what is kept, and for how long), `recent` (the texts of earlier calls), `choice` (the paths
that are worth keeping), `reuse` (what one call takes from the cache, and what it keeps).
"""
