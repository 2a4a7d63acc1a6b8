"""Presets: flag files of settings that belong together, one each in presets/.

The command lines read them with --flagfile (flags/presets leads to the folder), `Config.make` reads
them here. Both take the lines in their order; the last one wins.
"""

import difflib
from pathlib import Path

from permakey_tf.errors import UserError, expect

_FOLDER = Path(__file__).parent / "presets"


def read(name: str, prefix: str = "") -> list[tuple[str, str | None]]:
    """The (setting, text) pairs of a preset, in order; of a bare flag, --name, the text is None.

    Args:
      name: such as "quick".
      prefix: of the file's name, which tells the agent's presets from those of keypoints.

    Raises:
      UserError: there is no such preset, or the name is no text; the message names those that
        there are.
    """
    known = names(prefix)
    expect(str, name, "preset", f"one of {', '.join(known)}")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UserError(f"preset={name}: no such preset; {hint}")
    return _pairs(_FOLDER / f"{prefix}{name}.cfg")


def names(prefix: str = "") -> list[str]:
    """The presets of the agent (prefix "rl_") or of keypoints ("")."""
    stems = sorted(path.stem for path in _FOLDER.glob("*.cfg"))
    agents = [stem for stem in stems if stem.startswith("rl_")]
    mine = agents if prefix else [stem for stem in stems if stem not in agents]
    return [stem.removeprefix(prefix) for stem in mine]


def _pairs(path: Path) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("--"):  # a comment or an empty line
            continue
        name, given, text = line.strip().removeprefix("--").partition("=")
        if name == "flagfile":  # as typed in a checkout; all presets are in one folder
            found += _pairs(_FOLDER / Path(text).name)
        else:
            found.append((name, text if given else None))
    return found
