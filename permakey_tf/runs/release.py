"""A trained detector as one small file, to be published and loaded without its run folder.

An .npz of NumPy arrays: `about`, a JSON text, and the weights that detection reads. Decoders, what
only losses read, and the state of training are left out.
"""

import json
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np

import permakey_tf
from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.errors import UserError
from permakey_tf.system import files, schema
from permakey_tf.system.npz import NpzFile, refuse_others

FORMAT = "permakey-detector"
FORMAT_VERSION = 1
_ABOUT, _WEIGHTS = "about", "weights/"


class Release(NamedTuple):
    """Content of a detector's file.

    config: all settings of the run.
    image_size, channels, keep_aspect: how its model sees frames.
    weights: {name: float32 array}.
    """

    config: KeypointConfig
    image_size: int
    channels: int
    keep_aspect: bool
    weights: dict[str, np.ndarray]


class _About(TypedDict):
    settings: KeypointConfig
    image_size: int
    channels: int
    keep_aspect: bool


def write(path: Path, release: Release, half: bool) -> str:
    """Writes a detector's file; with `half`, its weights in half precision.

    Returns:
      SHA-256 (hex) of the file.

    Raises:
      UserError: it cannot be written, another kind of file is there, or a weight is not finite.
    """
    refuse_others(path, "detector's file", lambda names: _ABOUT in names)
    about = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "version": permakey_tf.__version__,
        "settings": release.config.to_dict(),
        **{name: getattr(release, name) for name in ("image_size", "channels", "keep_aspect")},
    }
    arrays = {_ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8)}
    for name, weights in release.weights.items():
        if not np.isfinite(weights).all():
            raise UserError(f"{name} has a value that is not finite: the training has diverged")
        if half and np.abs(weights).max(initial=0) > np.finfo(np.float16).max:
            raise UserError(f"{name} has a value that half precision cannot hold: give half=False")
        arrays[_WEIGHTS + name] = weights.astype(np.float16) if half else weights
    files.make_folder(path.parent)
    with files.replaced(path) as file:
        np.savez_compressed(file, **arrays)
    return files.sha256(path)


def read(path: Path) -> Release:
    """Reads a detector's file. Raises UserError where it is damaged or another kind of file."""
    with NpzFile(path) as file:
        if _ABOUT not in file.arrays:
            raise UserError(f"{path} is no detector's file (KeypointDetector.save makes one)")
        text = file.read(_ABOUT)
        names = [name for name in file.arrays if name.startswith(_WEIGHTS)]
        weights = {
            name.removeprefix(_WEIGHTS): file.read(name).astype(np.float32) for name in names
        }
    try:
        content = json.loads(text.tobytes())
        known = isinstance(content, dict) and content.get("format") == FORMAT
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if not known:
        raise UserError(f"{path} is no detector's file (KeypointDetector.save makes one)")
    schema.check_version(path, content, FORMAT_VERSION)
    try:
        about = schema.parse(_About, content, complete=True)
    except UserError as error:
        raise UserError(f"{path} is damaged or of a later version: {error}") from error
    seen_as = about["image_size"], about["channels"], about["keep_aspect"]
    return Release(about["settings"], *seen_as, weights)


def check(path: Path, expected: str) -> None:
    """Raises UserError where the file's SHA-256 is another one."""
    found = files.sha256(path)
    if found != expected.lower():
        raise UserError(f"{path}: SHA-256 is {found}, not {expected}: get the file anew")
