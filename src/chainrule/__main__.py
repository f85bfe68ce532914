"""`python -m chainrule`: the command line."""

from chainrule.program import main

if __name__ == "__main__":
    main()
