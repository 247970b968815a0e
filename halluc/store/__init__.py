"""The run folder: configuration, answers as they come, results at the end."""

from halluc.store.run_folder import Cost, RunFolder

__all__ = ["Cost", "RunFolder"]
