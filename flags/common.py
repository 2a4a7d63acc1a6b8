"""From dataclass fields to absl flags and back, and how an entry point starts and fails."""

import errno
import functools
import math
import os
import re
import shlex
import signal
import sys
import typing
from collections.abc import Iterable
from pathlib import Path

from absl import app
from absl import flags as absl_flags

from flags import words
from permakey_tf.configs.base import Config, flatten, from_flat, leaves, plain_type, value_range
from permakey_tf.configs.frames import canonical_game, plain_name
from permakey_tf.errors import UserError, settings_spelled
from permakey_tf.runs.families import lacks
from permakey_tf.system.files import at_home

# What a full or protected disk answers, whichever file is written at that moment.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
_DEFINERS = {
    bool: absl_flags.DEFINE_boolean,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
    tuple: absl_flags.DEFINE_list,
}


class _PathParser(absl_flags.ArgumentParser):
    """A path."""

    syntactic_help = "a path; ~ is the home folder"

    def parse(self, argument):
        return at_home(argument)

    def flag_type(self):
        return "path"


class _PathListParser(absl_flags.ListParser):
    """Comma-separated paths."""

    def parse(self, argument):
        paths = [at_home(path) for path in super().parse(argument)]
        if len(paths) > 1 and "" in paths:
            raise ValueError("a comma too many: a path is empty")
        return paths


def define_path(
    name: str,
    default: str | None,
    text: str,
    flag_values: absl_flags.FlagValues = absl_flags.FLAGS,
    required: bool = False,
) -> absl_flags.FlagHolder:
    """Defines a flag that names a file or folder."""
    return absl_flags.DEFINE(_PathParser(), name, default, text, flag_values, required=required)


def define_paths(
    name: str,
    default: list[str] | None,
    text: str,
    flag_values: absl_flags.FlagValues = absl_flags.FLAGS,
) -> absl_flags.FlagHolder:
    """Defines a flag that names files or folders, comma-separated."""
    serializer = absl_flags.CsvListSerializer(",")
    return absl_flags.DEFINE(_PathListParser(), name, default, text, flag_values, serializer)


def fill_in(name: str, template: str, game: str, **others: str) -> str:
    """The folder that flag `name` gives, with {game} and other placeholders filled in.

    Raises:
      UserError: a placeholder is unknown, and no folder has it in its name.
    """
    path = _filled(template, game=canonical_game(game), **others)
    unknown = re.search(r"\{\w+\}", path)
    if unknown and not Path(path).exists():
        known = ", ".join("{" + one + "}" for one in ("game", *others))
        raise UserError(f"--{name}={template}: {unknown[0]} is no placeholder; there are {known}")
    return path


def fill_in_to_go_on(name: str, template: str, game: str, **others: str) -> str:
    """As `fill_in`, for a folder with which work goes on where it exists.

    Raises:
      UserError: as of `fill_in`; or there is no such folder, but one as earlier versions would have
        named it.
    """
    path = fill_in(name, template, game, **others)
    old = _filled(template, game=plain_name(game), **others)
    if Path(old).exists() and not Path(path).exists():
        raise UserError(
            f"{old} is of an earlier version, to which {game} was a game of its own: rename it to "
            f"{path}, or pass --{name}={old}"
        )
    return path


def _filled(template: str, **values: str) -> str:
    for name, value in values.items():
        template = template.replace("{" + name + "}", value)
    return template


class _FiniteParser(absl_flags.FloatParser):
    """Refuses NaN, which lies inside of any bounds by absl's comparisons, and infinity."""

    def is_outside_bounds(self, val):
        return not math.isfinite(val) or super().is_outside_bounds(val)


def define_float(name, default, help_text, low, high=None, *, flag_values=absl_flags.FLAGS) -> None:
    """Defines a flag for a finite number from `low` to `high` that is no setting of a config."""
    parser, serializer = _FiniteParser(low, high), absl_flags.ArgumentSerializer()
    absl_flags.DEFINE(parser, name, default, help_text, flag_values, serializer)


def _help_text(field) -> str:
    meta = field.metadata
    notes = [f"Unit: {meta['unit']}." if meta["unit"] else ""]
    allowed = value_range(field)
    notes.append(f"Range: {allowed}." if allowed else "")
    notes.append(f"Origin: {meta['origin']}.")
    return " ".join([meta["help"], *filter(None, notes)])


def define(
    config_class: type[Config],
    rename: dict[str, str] | None = None,
    flag_values: absl_flags.FlagValues = absl_flags.FLAGS,
) -> None:
    """Defines one flag per leaf field of `config_class`; `rename` maps field name -> flag name.

    Ranges are not checked here but by the config object that `build` makes, so that the library
    and the command line refuse the same values with the same words.
    """
    rename = rename or {}
    for leaf in leaves(config_class):
        kind, default, text = plain_type(leaf.hint), leaf.field.default, _help_text(leaf.field)
        if kind is tuple:
            default, text = [str(value) for value in default], f"{text} Comma-separated."
        plain = define_path if leaf.field.metadata["is_path"] else absl_flags.DEFINE_string
        definer = _DEFINERS.get(kind, plain)
        definer(rename.get(leaf.name, leaf.name), default, text, flag_values=flag_values)


def build(
    config_class: type[Config], values=absl_flags.FLAGS, rename: dict[str, str] | None = None
):
    """The config object that the parsed flags describe. Raises UserError that names the flag."""
    rename = rename or {}
    settings = {}
    for leaf in leaves(config_class):
        name = rename.get(leaf.name, leaf.name)
        value = values[name].value
        if plain_type(leaf.hint) is tuple:
            value = parse_tuple(name, value, typing.get_args(leaf.hint)[0])
        settings[leaf.name] = value
    with settings_as_flags(rename):
        return from_flat(config_class, settings)


def settings_as_flags(rename: dict[str, str] | None = None):
    """Within the block, the settings of which the library speaks in a UserError become flags."""
    return settings_spelled(lambda name: f"--{(rename or {}).get(name, name)}")


def parse_tuple(name: str, texts: list[str], element: type) -> tuple:
    """The values of a comma-separated flag. Raises UserError that names it."""
    try:
        return tuple(element(text) for text in texts)
    except ValueError as error:
        wanted = {int: "whole numbers", float: "numbers"}[element]
        raise UserError(
            f"--{name}={','.join(texts)}: expected {wanted}, separated by commas"
        ) from error


def command_line(program: str) -> str:
    """What was typed to start `python -m PROGRAM`, ready to be typed again in the same folder."""
    return shlex.join(["python", "-m", program, *sys.argv[1:]])


def typed() -> set[str]:
    """Names of the flags that were typed, without those of flag files."""
    given = (word.lstrip("-").partition("=")[0] for word in sys.argv[1:] if word[:1] == "-")
    return {name for word in given for name in (word, word.removeprefix("no"))}


def tell_without_effect(config: Config) -> None:
    """Prints a note on each flag that was typed and does nothing beside the others.

    Those of flag files are not told: a preset may be of several methods.
    """
    settings = flatten(config)
    for name in sorted(typed() & settings.keys()):
        if lacked := lacks(name, settings):
            other, value = lacked
            print(f"note: --{name} does nothing without --{other}={value}")


def quoted(name: str, value: object) -> str:
    """--NAME=VALUE as a shell takes it."""
    return f"--{name}={shlex.quote(str(value))}"


def quoted_one(name: str, value: object) -> str:
    """As `quoted`, for a flag that takes several values, separated by commas."""
    return quoted(name, f'"{value}"' if "," in str(value) else value)


def fail(message: str, code: int = 1) -> typing.NoReturn:
    """Prints one line to stderr and leaves."""
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(code)


def leave_if_interrupted(interruption, saved: str) -> None:
    """Leaves as a signal asks for, where it interrupted work; `saved`: what is kept, in words."""
    if interruption.signal:
        fail(
            f"interrupted by {interruption.signal.name}; {saved}; the same command "
            "continues from there",
            code=128 + interruption.signal,
        )


def refuse_flags(values: absl_flags.FlagValues, names: Iterable[str], where: str) -> None:
    """Raises UserError for a flag that was given and does nothing; `where`: beside which others."""
    for name in names:
        if values[name].present:
            raise UserError(f"--{name} does nothing {where}: leave it out")


def parse(values: absl_flags.FlagValues, argv: list[str]) -> list[str]:
    """Parses a command line, its first word the program's name; returns that word.

    Raises:
      UserError: an unknown flag, a value of the wrong type, a word that is no flag, or what
        `words.check` refuses.
    """
    words.check(values, argv[1:])
    try:
        rest = values(argv, known_only=False)
    except (absl_flags.Error, ValueError) as error:  # the latter of --noNAME=VALUE
        raise UserError(_in_our_words(error)) from error
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}: settings are given as --name=value")
    return rest


def _in_our_words(error: Exception) -> str:
    missing = re.search(r"Unable to open flagfile: .*'(.*)'", str(error))
    if not missing:
        return str(error)
    line = f"no flag file {missing[1]}"
    if Path(missing[1]).is_absolute():
        return line
    here = Path.cwd()
    return f"{line} in {here}: flag files name others as seen from the checkout; run this there"


def parse_or_leave(values: absl_flags.FlagValues, argv: list[str]) -> list[str]:
    """As `parse`; a mistake ends the program with one line and exit code 2."""
    try:
        return parse(values, argv)
    except UserError as error:
        fail(f"{error} (see --help)", code=2)


def _interrupt(number, _frame):
    raise KeyboardInterrupt(signal.Signals(number).name)


def call_or_leave(main):
    """Calls `main()`; a user's mistake ends the program with one line and exit code 1."""
    try:
        with settings_as_flags():
            return main()
    except UserError as error:
        fail(error)
    except KeyboardInterrupt as stop:  # Ctrl-C, or see _interrupt
        number = signal.Signals[str(stop)] if str(stop) else signal.SIGINT
        fail("interrupted; nothing half-written is left", code=128 + number)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        # Whatever writes a file names it: without a name, it is what the program prints.
        fail(f"{error.filename or 'standard output'}: {error.strerror}")


def run(main) -> typing.NoReturn:
    """Parses the flags and calls `main()`, both as above.

    SIGTERM ends the program as Ctrl-C does: by an exception, so that what is half-written is
    removed on the way out.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    # TensorFlow's C++ log is chatty on machines without a GPU; its errors still show.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Every program takes a GPU's memory as it needs it, so that a figure can be drawn beside a run
    # (untested).
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    app.run(
        lambda _: call_or_leave(main),
        flags_parser=functools.partial(parse_or_leave, absl_flags.FLAGS),
    )


def start(program, main) -> typing.NoReturn:
    """Runs an entry point: `main` with what its flags ask for.

    Args:
      program: its module of this package, with `define(values)` and `from_flags(values)`.
      main: called with what `from_flags` returns.
    """
    known = set(absl_flags.FLAGS)
    program.define()
    for name in set(absl_flags.FLAGS) - known:  # --help lists the flags of the started module
        absl_flags.FLAGS.register_key_flag_for_module(sys.argv[0], absl_flags.FLAGS[name])
    run(lambda: main(program.from_flags()))
