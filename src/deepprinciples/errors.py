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


class Stopped(DeepprinciplesError):
    """The run was stopped by a signal and can be repeated."""

    exit_code = 75


def message(error: BaseException) -> str:
    """Return what an error says, short, in one line and without control characters; its type where it says nothing."""
    said = "".join(char for char in " ".join(str(error).split())[:300] if char.isprintable())
    return said or type(error).__name__


def one_line(error: BaseException) -> str:
    """Word an unexpected error in one line: its type, and the start of what it says."""
    return f"{type(error).__name__}: {message(error)}"


def not_written(path: object, error: OSError, then: str = "") -> ResourceError:
    """Return the error of a file or folder that the system does not write; `then` says what to do."""
    return ResourceError(f"{path}: cannot be written ({error.strerror or error}){then}")
