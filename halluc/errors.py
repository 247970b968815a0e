"""Errors a user can cause."""

from __future__ import annotations

from importlib.util import find_spec


class UserError(Exception):
    """Something the user typed or supplied is wrong.

    Its message is one line: what is wrong, where, and what would be right. The command line
    prints it and exits with 2.

    Examples:
        >>> import halluc
        >>> try:
        ...     halluc.evaluate("glyph", "vra")
        ... except halluc.UserError as error:
        ...     print(error)
        unknown method 'vra': did you mean 'var'?
    """


class Notice(UserWarning):
    """Something a user should know that stops nothing; the command line prints it in one line."""


def needs_packages(option: str, *modules: str) -> None:
    """Refuse an option whose packages are not installed.

    Args:
        option: The option as the user typed it.
        modules: Importable names, which are also what pip calls them but for the underscore.

    Raises:
        UserError: Naming the missing packages and the command that installs them.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        names = [module.replace("_", "-") for module in missing]
        raise UserError(f"{option} needs {' and '.join(names)}: pip install {' '.join(names)}")
