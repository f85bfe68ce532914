"""Results to look at: Rich for terminals, HTML for notebooks."""
