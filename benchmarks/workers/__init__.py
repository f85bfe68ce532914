"""The workers, one file for each system. A worker loads its model once and answers timed rounds (see ``protocol``)."""
