"""What a user can put right: one line on stderr, exit code 1, no traceback."""

import contextlib
import difflib
from collections.abc import Iterator

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def printable(text: str) -> str:
    r"""``text`` for a terminal: names in files of others may hold characters that move its cursor, colour it or turn
    the direction of writing, which are spelt, as in ``\x1b``; lines stay lines.
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


class UserError(Exception):
    """Something the user can put right: told in one line on stderr, exit code 1, no traceback.

    ``fix`` is the command (or the change) that makes it right.
    """

    exit_code = EXIT_ERROR

    def __init__(self, message: str, fix: str | None = None):
        super().__init__(message)
        self.message, self.fix = message, fix

    def __reduce__(self):
        return type(self), (self.message, self.fix)  # so that it survives the way from another process

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [f"error: {self}"]

    def __str__(self) -> str:
        text = self.message if self.fix is None else f"{self.message}; {self.fix}"
        return printable(" ".join(text.split()))


class UsageError(UserError):
    """Flags that make no sense together: exit code 2, as for those that no stage has."""

    exit_code = EXIT_USAGE


@contextlib.contextmanager
def about(where: str, fix: str) -> Iterator[None]:
    """What is refused inside without a way out is told of the file ``where``, with ``fix``."""
    try:
        yield
    except UserError as exc:
        if exc.fix is not None:
            raise
        raise type(exc)(exc.message if where in exc.message else f"{where}: {exc.message}", fix) from None


def near_miss(name: str, known) -> str:
    """``"; did you mean 'x'?"`` for the known name closest to ``name``, or nothing."""
    close = difflib.get_close_matches(name, [str(k) for k in known], n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
