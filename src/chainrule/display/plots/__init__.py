"""Charts of results, as Altair draws them, and the files that they are saved to."""
