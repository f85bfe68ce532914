"""Files in and out: the rows of any table, each with the place where it stood, and result files that appear whole."""
