"""The command line: one command for each main function of the library."""
