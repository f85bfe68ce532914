"""File input and output: rows of any table, each with its location, and result files that are written atomically."""
