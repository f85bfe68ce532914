"""From requests, through an engine, to results."""
