"""What absl would take in silence: refused before it reads a command line and its flag files."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from absl import flags as absl_flags

from permakey_tf.errors import UserError
from permakey_tf.system.files import at_home

_FILE = "flagfile"


class Word(NamedTuple):
    """One flag of a command line or of a flag file.

    name: of the flag, of a --noname too. text: its value's. joined: whether "=" stands between.
    """

    name: str
    text: str
    joined: bool

    def __str__(self) -> str:
        return f"--{self.name}={self.text}"


def check(values: absl_flags.FlagValues, typed: list[str]) -> None:
    """Raises UserError for what would silently count for something else than it says.

    Args:
      values: the flags that there are.
      typed: a command line behind the program's name.
    """
    words = list(_words(values, typed))
    _refuse_missing_values(values, words)
    _refuse_repeated_lists(values, words)
    for index, word in enumerate(words):
        if word.name == _FILE:
            given = list(_words(values, _lines(values, word.text)))
            _refuse_overridden(values, words[:index], word, given)


def _words(values: absl_flags.FlagValues, typed: Iterable[str]) -> Iterator[Word]:
    """Every known flag, up to a "--"; of one without "=" the text is the next word."""
    typed = list(typed)
    for word, after in zip(typed, [*typed, ""][1:], strict=True):
        if word == "--":
            return
        name, joined, text = word.lstrip("-").partition("=")
        if word[:1] != "-":
            continue
        if name in values and values[name].boolean:
            yield Word(name, text.lower() or "true", True)
        elif name in values or name == _FILE:
            yield Word(name, text if joined else after, bool(joined))
        elif _is_negated(values, name):
            yield Word(name.removeprefix("no"), "false", True)


def _is_negated(values: absl_flags.FlagValues, name: str) -> bool:
    positive = name.removeprefix("no")
    return name[:2] == "no" and positive in values and values[positive].boolean


def _refuse_missing_values(values: absl_flags.FlagValues, words: list[Word]) -> None:
    """Raises UserError where a flag would take the next one for its value."""
    for name, text, joined in words:
        after = text.lstrip("-").partition("=")[0]
        if not joined and text[:1] == "-" and (after in values or _is_negated(values, after)):
            raise UserError(f"--{name} has no value, {text} follows it: give it as --{name}=VALUE")


def _refuse_repeated_lists(values: absl_flags.FlagValues, words: list[Word]) -> None:
    """Raises UserError where the last of several lists that are typed would count alone.

    What a flag file gives may be typed anew: a file has defaults.
    """
    given: dict[str, str] = {}
    for name, text, _ in words:
        if name == _FILE or not _is_list(values[name]):
            continue
        if name in given:
            raise UserError(
                f"--{name} is given twice: give it once, perhaps --{name}={given[name]},{text}"
            )
        given[name] = text


def _is_list(flag: absl_flags.Flag) -> bool:
    """Whether a flag's one value is a list; a MultiFlag makes a list of several."""
    parses_lists = isinstance(flag.parser, absl_flags.ListParser)
    return parses_lists and not isinstance(flag, absl_flags.MultiFlag)


def _refuse_overridden(
    values: absl_flags.FlagValues, before: list[Word], file: Word, given: list[Word]
) -> None:
    """Raises UserError for a flag before a file that has another value for it: the last counts."""

    def what(word: Word) -> tuple[str, str]:
        """Which setting a word gives: of several values, such as a sweep's axes, one has a name."""
        several = isinstance(values[word.name], absl_flags.MultiFlag)
        return word.name, word.text.partition("=")[0] if several else ""

    in_file = {what(word): word for word in given}
    for word in before:
        if word.name == _FILE:
            continue  # of two files the last counts, as a preset and what builds on it
        other = in_file.get(what(word), word)
        if other.text != word.text:
            raise UserError(
                f"{word} stands before {file}, which says {other}: give it behind the file"
            )


def _lines(values: absl_flags.FlagValues, name: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The flags of a flag file, those of the files that it names in their places.

    A file that cannot be read has none: absl says so.

    Raises:
      UserError: no file is named, one names itself, or a line is not what it looks like.
    """
    path = at_home(name)
    if not path:
        raise UserError("--flagfile names no file: name one, or leave it out")
    if path in above:
        raise UserError(f"flag file {above[-1]} leads back to {path}: take --flagfile={name} out")
    if not Path(path).is_file():
        return
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    for line in map(str.strip, lines):
        nested = re.fullmatch(f"--?{_FILE}=(.*)", line)
        if nested:
            yield from _lines(values, nested[1].strip(), (*above, path))
        elif line and not line.startswith(("#", "//")):
            _check_line(values, line, path)
            yield line


def _check_line(values: absl_flags.FlagValues, line: str, path: str) -> None:
    """Raises UserError for a line that a shell or an editor would have made another."""
    if line.startswith("\ufeff"):
        raise UserError(f"flag file {path} begins with a byte order mark: save it without one")
    spaced = re.fullmatch(r"(--?\w+)\s+=\s*(.*)", line)
    if spaced:
        raise UserError(f"flag file {path}: spaces around =, write {spaced[1]}={spaced[2]}")
    name, _, text = line.lstrip("-").partition("=")
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    if quoted and name in values and not _takes_quotes(values[name]):
        raise UserError(f"flag file {path}: a value needs no quotes, write --{name}={text[1:-1]}")


def _takes_quotes(flag: absl_flags.Flag) -> bool:
    """Whether they are taken off where its value is read."""
    return _is_list(flag) or isinstance(flag, absl_flags.MultiFlag)
