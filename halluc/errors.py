"""Errors a user can cause."""


class UserError(Exception):
    """Something the user typed or supplied is wrong.

    Its message is one line: what is wrong, where, and what would be right. The command line
    prints it and exits with 2.
    """
