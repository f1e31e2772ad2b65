"""The errors a user can cause, each with the exit code the command line gives it.

One message is one line: where, what was found, what was expected, how to fix it. This module imports nothing, so that
every floor may raise from it.
"""

from __future__ import annotations


class DeepprinciplesError(Exception):
    """Base class of errors the user can fix; `exit_code` is what the command line returns."""

    exit_code = 1


class ConfigError(DeepprinciplesError):
    """The config cannot be run. Holds every problem found, one line each."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(problems))


class DataError(DeepprinciplesError):
    """The data cannot be read or cannot be used."""

    exit_code = 3


class IntegrityError(DeepprinciplesError):
    """A stored file is damaged, or belongs to something else."""

    exit_code = 4


class ResourceError(DeepprinciplesError):
    """The machine lacks what was asked for: memory, disk, an accelerator, an optional package."""

    exit_code = 5


class OutOfMemory(ResourceError):
    """A run needs more memory than there is; a fresh process may go on with `run`, its directory."""

    def __init__(self, message: str, run: str = "") -> None:
        self.run = run
        super().__init__(message)


class Stopped(DeepprinciplesError):
    """The run was stopped by a signal and can be repeated."""

    exit_code = 75


def one_line(error: BaseException) -> str:
    """Word an unexpected error in one line: its type, and the start of what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
