"""The library of compiled kernels: compiled once for this machine, kept in the cache, and loaded. Nothing here needs torch."""
