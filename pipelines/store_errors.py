"""What clients of remote stores raise, told apart: they have no exceptions in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class StoreError(OSError):
    """A store far away gave no answer, or one that says no; made of an errno, what came, and the file."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def errors_within(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it stands for: what it was raised from, and what Beam gathers by file."""
    yield error
    details = getattr(error, "exception_details", None)
    for inner in (*(details.values() if isinstance(details, Mapping) else ()), error.__cause__):
        if isinstance(inner, BaseException):
            yield from errors_within(inner)


def status_of(error: BaseException) -> int | None:
    """The status of HTTP that an error of a client names itself."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("code", "status_code"):
            code = getattr(holder, name, None)
            if isinstance(code, int):
                return int(code)
    return None


def http_status(error: BaseException) -> int | None:
    """The first status of HTTP that an error, or one that it stands for, names."""
    return next((status for one in errors_within(error) if (status := status_of(one)) is not None), None)
