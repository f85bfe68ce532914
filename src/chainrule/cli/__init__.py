"""The command line: the names of the library, one command each."""
