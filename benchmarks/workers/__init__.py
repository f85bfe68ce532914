"""One file a system: each loads its model once and answers timed rounds (see ``protocol``)."""
