"""The one exception type for mistakes that a user can mend."""

import contextlib
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class UserError(ValueError):
    """A mistake in a setting, file, folder or array: one line that names culprit and remedy.

    Entry points print the message and exit with a non-zero code, without a traceback. Library
    code raises it wherever outside data or settings are refused.

    Args:
      message: the line.
      settings: names of the settings that it speaks of, as the line spells them. A command line
        shows them as its flags.

    Attributes:
      settings: the same, as a tuple.
    """

    _is_spelled = False

    def __init__(self, message: object = "", settings: Iterable[str] = ()):
        super().__init__(message)
        self.settings = tuple(settings)

    def spelled(self, spell: Callable[[str], str]) -> "UserError":
        """The same mistake with the first mention of each setting spelled otherwise; only once."""
        names = list(self.settings)
        if self._is_spelled or not names:
            return self

        def first(match: re.Match) -> str:
            if match[0] not in names:
                return match[0]
            names.remove(match[0])
            return spell(match[0])

        # Not within a path or a run's name, such as noise-both: both have names of settings.
        words = rf"(?<![\w/.-])(?:{'|'.join(map(re.escape, names))})(?![\w/-])"
        error = UserError(re.sub(words, first, str(self)), self.settings)
        error._is_spelled = True
        return error


def expect(kind: type | tuple[type, ...], value: object, name: str, remedy: str) -> None:
    """Raises UserError where an argument of the Python interface is not of its kind.

    Args:
      kind: or several, one of which will do.
      name: of the argument.
      remedy: what to give instead.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = [one.__name__ for one in kinds]
        wanted = " or ".join(dict.fromkeys(names))  # Python's bool, and NumPy's
        given = "None" if value is None else type(value).__name__
        given = f"{type(value).__module__}.{given}" if given in names else given
        raise UserError(f"{name} must be of type {wanted}, not {given}; {remedy}")


def whole(number: Any, low: int, name: str) -> int:
    """An argument of the Python interface as an int, NumPy's too.

    Raises:
      UserError: it is no whole number from `low` on.
    """
    try:
        given = operator.index(number)
    except TypeError:
        given = low - 1
    if given < low or isinstance(number, bool):
        raise UserError(f"{name}={number!r}: a whole number from {low} on is needed", [name])
    return given


def different_wholes(numbers: Any, name: str) -> list[int]:
    """Different whole numbers, none below 0, as ints; NumPy's too.

    Raises:
      UserError: they are others, or there is none.
    """
    try:
        given = [operator.index(number) for number in numbers]
    except TypeError:
        given = []
    if not given or min(given) < 0 or len(set(given)) < len(given):
        raise UserError(
            f"{name}={numbers!r}: a list of different whole numbers, none below 0, is needed",
            [name],
        )
    return given


@contextlib.contextmanager
def settings_spelled(spell: Callable[[str], str]) -> Iterator[None]:
    """Within the block, a UserError spells its settings so, for those who know them otherwise."""
    try:
        yield
    except UserError as error:
        if (spelled := error.spelled(spell)) is error:
            raise
        raise spelled from error


@contextlib.contextmanager
def settings_named(rename: Callable[[str], str]) -> Iterator[None]:
    """Within the block, the settings of a UserError have other names, still to be spelled."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error.spelled(rename)), map(rename, error.settings)) from error
