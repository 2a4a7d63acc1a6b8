"""What absl would take in silence: refused before it reads a command line and its flag files."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags as absl_flags

from permakey_tf.configs.frames import canonical_game
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
    for place, word in enumerate(words):
        if word.name == _FILE:
            given = list(_words(values, _lines(values, word.text)))
            _refuse_overridden(values, words, place, given)


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
    values: absl_flags.FlagValues, words: list[Word], place: int, given: list[Word]
) -> None:
    """Raises UserError for a flag before a file that has another value for it: the last counts.

    Args:
      words: of the command line; the one at `place` names the file.
      given: the file's.
    """

    def what(word: Word) -> tuple[str, str]:
        """Which setting a word gives: of several values, such as a sweep's axes, one has a name."""
        several = word.name != _FILE and isinstance(values[word.name], absl_flags.MultiFlag)
        return word.name, word.text.partition("=")[0] if several else ""

    in_file = {what(word): word for word in given}
    anew = {what(word) for word in words[place + 1 :]}
    for word in words[:place]:
        # Of two files the last counts, as a preset and what builds on it.
        if word.name == _FILE or what(word) in anew:
            continue
        other = in_file.get(what(word), word)
        if _meaning(values, other) != _meaning(values, word):
            raise UserError(
                f"{word} stands before {words[place]}, which says {other}: give it behind the file"
            )


def _meaning(values: absl_flags.FlagValues, word: Word) -> Any:
    """A value as its flag reads it, as far as it does: 1e-3 is 0.001."""
    flag = values[word.name]
    try:
        parsed = flag.parser.parse(word.text)
    except (ValueError, TypeError):
        return word.text
    if word.name == "game":
        return canonical_game(word.text)
    return Path(parsed) if flag.flag_type() == "path" else parsed


def _lines(values: absl_flags.FlagValues, name: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The flags of a flag file, those of the files that it names in their places.

    A file that cannot be opened has none: absl says so.

    Raises:
      UserError: no file is named, one names itself, it is no text, or a line is not what it looks
        like.
    """
    path = at_home(name)
    if not path:
        raise UserError("--flagfile names no file: name one, or leave it out")
    if path in above:
        raise UserError(f"flag file {above[-1]} leads back to {path}: take --flagfile={name} out")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"flag file {path} is no text in UTF-8: save it as such") from error
    except OSError:
        return
    for line in map(str.strip, text.splitlines()):
        nested = re.fullmatch(f"--?{_FILE}=(.*)", line)
        if nested:
            yield from _lines(values, nested[1].strip(), (*above, path))
        elif line and not line.startswith(("#", "//")):
            _check_line(values, line, f"flag file {path}")
            yield line


def _check_line(values: absl_flags.FlagValues, line: str, file: str) -> None:
    """Raises UserError for a line that a shell or an editor would have made another."""
    if line.startswith("\ufeff"):
        raise UserError(f"{file} begins with a byte order mark: save it without one")
    if re.fullmatch(rf"--?{_FILE}(\s.*)?", line):
        raise UserError(f"{file}: {line!r} names no file, write --{_FILE}=NAME")
    spaced = re.fullmatch(r"(--?\w+)(?:\s+=\s*|=\s+)(.*)", line)
    if spaced:
        raise UserError(f"{file}: spaces around =, write {spaced[1]}={spaced[2]}")
    name, _, text = line.lstrip("-").partition("=")
    if name not in values or isinstance(values[name], absl_flags.MultiFlag):
        return
    if " #" in text:
        raise UserError(f"{file}: a remark is part of --{name}'s value, give it a line of its own")
    inside, quoted = text[1:-1], re.fullmatch(r"\".*\"|'.*'", text)
    # Those of a list's single values are taken off where it is read: "a","b".
    if quoted and not (_is_list(values[name]) and '"' in inside):
        raise UserError(f"{file}: a value needs no quotes, write --{name}={inside}")
