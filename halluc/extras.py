"""Packages that only some options need."""

from __future__ import annotations

from importlib.util import find_spec

from halluc.errors import UserError


def needs_packages(what: str, *modules: str) -> None:
    """Refuse an option whose packages are not installed.

    Args:
        what: The option as the user typed it.
        modules: Importable names, which are also what pip calls them but for the underscore.

    Raises:
        UserError: Naming the missing ones and the command that installs them.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        names = [module.replace("_", "-") for module in missing]
        raise UserError(f"{what} needs {' and '.join(names)}: pip install {' '.join(names)}")
