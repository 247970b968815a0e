"""`python -m halluc` is the `halluc` command."""

from halluc.cli.entry import main

if __name__ == "__main__":
    main()
