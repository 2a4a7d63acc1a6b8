"""Frames that exist already: .npz files, folders of images, videos, Minari data sets.

Each reader looks at headers first, to learn how many frames each episode has, and then yields the
frames once, in order, with the memory of a few of them.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from permakey_tf.configs import canonical_game
from permakey_tf.data.frames import SPLITS
from permakey_tf.data.npz import ArrayInfo, NpzFile
from permakey_tf.errors import UserError
from permakey_tf.types import Step

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
_COLUMNS = {"actions": "iu", "rewards": "iuf"}  # optional arrays: allowed kinds of dtype


class Group(NamedTuple):
    """Consecutive episodes that are shared out among `splits`.

    splits: names of splits, in order.
    lengths: frames of each episode.
    """

    splits: tuple[str, ...]
    lengths: tuple[int, ...]


class Recording(NamedTuple):
    """Frames that exist already.

    groups: the episodes in order.
    steps: all frames of all groups in order; can be iterated once.
    columns: what there is beside frames, of "actions" and "rewards".
    origin: JSON-compatible description for the manifest.
    notes: what the user should know.
    """

    groups: tuple[Group, ...]
    steps: Iterator[Step]
    columns: frozenset[str]
    origin: dict[str, Any]
    notes: tuple[str, ...] = ()


def natural_key(path: Path) -> list:
    """Sorts frame2 before frame10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


# --------------------------------------------------------------------------------------------- npz


class _NpzEpisodes(NamedTuple):
    path: Path
    starts: np.ndarray  # int64, first frame of each episode
    length: int
    columns: frozenset[str]


def read_npz(location: str, game: str) -> Recording:
    """Opens rollout files: `frames` uint8 [N, H, W, 3], of any size.

    A folder has the layout of the authors' data: train/GAME/*.npz and test/GAME/*.npz; the test
    files are shared out among validation and test. A single file is split like any other source.
    Each file is one episode, or several where it has `episode_start`, bool [N]. `actions` and
    `rewards`, both [N], are kept where all files have them.

    Raises:
      UserError: nothing there, or a file is damaged or holds other arrays.
    """
    path = Path(location)
    if path.is_dir():
        parts = [(SPLITS[:1], _game_files(path / "train", game))]
        parts.append((SPLITS[1:], _game_files(path / "test", game)))
    elif path.is_file():
        parts = [(SPLITS, [path])]
    else:
        raise UserError(f"--npz={location}: no such file or folder")
    scanned = [(splits, [_scan_npz(file) for file in files]) for splits, files in parts]
    episodes = [file for _, files in scanned for file in files]
    columns = frozenset.intersection(*(file.columns for file in episodes))
    groups = tuple(
        Group(splits, tuple(int(n) for file in files for n in _lengths(file)))
        for splits, files in scanned
    )
    steps = (step for file in episodes for step in _npz_steps(file, columns))
    origin = {"npz": str(path), "files": {str(file.path): file.length for file in episodes}}
    return Recording(groups, steps, columns, origin)


def _game_files(folder: Path, game: str) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected train/GAME/*.npz and test/GAME/*.npz")
    games = {canonical_game(child.name): child for child in folder.iterdir() if child.is_dir()}
    if canonical_game(game) not in games:
        found = ", ".join(sorted(child.name for child in games.values())) or "none"
        raise UserError(f"{folder}: no folder for game {game!r} (games there: {found})")
    files = sorted(games[canonical_game(game)].glob("*.npz"), key=natural_key)
    if not files:
        raise UserError(f"{games[canonical_game(game)]}: no .npz files in it")
    return files


def _scan_npz(path: Path) -> _NpzEpisodes:
    with NpzFile(path) as npz:
        if "frames" not in npz.arrays:
            raise UserError(f"{path}: has no array 'frames' (it has {', '.join(npz.arrays)})")
        info = npz.arrays["frames"]
        shape = info.shape
        if info.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3) or 0 in shape:
            raise UserError(
                f"{path}: 'frames' must be uint8 [N, H, W, 3], is {info.dtype} {list(shape)}"
            )
        length = shape[0]
        columns = frozenset(_COLUMNS) & set(npz.arrays)
        for name in columns:
            _check_column(path, name, npz.arrays[name], length, _COLUMNS[name])
        starts = np.zeros(1, np.int64)
        if "episode_start" in npz.arrays:
            _check_column(path, "episode_start", npz.arrays["episode_start"], length, "b")
            starts = np.union1d(starts, np.flatnonzero(npz.read("episode_start")))
    return _NpzEpisodes(path, starts, length, columns)


def _check_column(path: Path, name: str, info: ArrayInfo, length: int, kinds: str) -> None:
    if info.shape != (length,) or info.dtype.kind not in kinds:
        raise UserError(
            f"{path}: {name!r} must have one value per frame ([{length}]), "
            f"is {info.dtype} {list(info.shape)}"
        )


def _lengths(file: _NpzEpisodes) -> np.ndarray:
    return np.diff(file.starts, append=file.length)


def _npz_steps(file: _NpzEpisodes, columns: frozenset[str]) -> Iterator[Step]:
    firsts = set(file.starts.tolist())
    with NpzFile(file.path) as npz:
        actions = npz.read("actions") if "actions" in columns else np.full(file.length, -1)
        rewards = npz.read("rewards") if "rewards" in columns else np.zeros(file.length)
        row = 0
        for block in npz.blocks("frames"):
            for frame in block:
                yield Step(frame, row in firsts, int(actions[row]), float(rewards[row]))
                row += 1


# ------------------------------------------------------------------------------- images and videos


def read_images(location: str) -> Recording:
    """Opens a folder of images, whose sub-folders are episodes, or a video file.

    Images are taken in the natural order of their names; folders without images are passed over.

    Raises:
      UserError: nothing there, or nothing that can be read.
    """
    path = Path(location)
    if path.is_dir():
        return _read_image_folder(path)
    if not path.is_file():
        raise UserError(f"--images={location}: no such folder or video file")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"--images={location}: is one image; name its folder, or a video file")
    return _read_video(path)


def _read_image_folder(path: Path) -> Recording:
    episodes = []
    for folder in sorted((Path(folder) for folder, _, _ in os.walk(path)), key=natural_key):
        images = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
        if images:
            episodes.append((folder, sorted(images, key=natural_key)))
    if not episodes:
        raise UserError(f"{path}: no images in it (known: {', '.join(sorted(IMAGE_SUFFIXES))})")
    steps = (
        Step(_read_image(file), number == 0)
        for _, files in episodes
        for number, file in enumerate(files)
    )
    lengths = tuple(len(files) for _, files in episodes)
    folders = {str(folder): len(files) for folder, files in episodes}
    return Recording(
        (Group(SPLITS, lengths),), steps, frozenset(), {"images": str(path), "folders": folders}
    )


def _read_image(file: Path) -> np.ndarray:
    data = file.read_bytes()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    # A JPEG that breaks off is decoded without complaint, its lower part grey; the end marker
    # then lacks. It is sought in the second half since the first may hold a thumbnail's.
    is_jpeg = data.startswith(b"\xff\xd8")
    if image is None or (is_jpeg and b"\xff\xd9" not in data[len(data) // 2 :]):
        raise UserError(f"{file}: damaged, or not an image; repair or remove it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _read_video(path: Path) -> Recording:
    video = cv2.VideoCapture(str(path))
    announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    length = 0
    while video.grab():
        length += 1
    video.release()
    if not length:
        raise UserError(f"{path}: damaged, or not a video that OpenCV can read")
    notes = ()
    if length < announced:
        notes = (f"{path} announces {announced} frames, only {length} could be decoded",)
    origin = {"images": str(path), "frames": length}
    return Recording((Group(SPLITS, (length,)),), _video_steps(path), frozenset(), origin, notes)


def _video_steps(path: Path) -> Iterator[Step]:
    video = cv2.VideoCapture(str(path))
    first = True
    while True:
        found, image = video.read()
        if not found:
            break
        yield Step(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), first)
        first = False
    video.release()


# ------------------------------------------------------------------------------------------ minari


def read_minari(minari_id: str) -> Recording:
    """Opens a Minari data set with image observations; downloads it where it is not on disk.

    Raises:
      UserError: the package is missing, the data set cannot be had or has no frames.
    """
    try:
        import minari

        data = minari.load_dataset(minari_id, download=True)
    except ImportError as error:  # Minari itself, or one of its back ends, which it imports late
        raise UserError(
            f'--source=minari needs packages: pip install -e ".[minari]" ({error})'
        ) from error
    except Exception as error:  # one of many kinds: network, hub, missing back end, format
        raise UserError(
            f"--minari_id={minari_id}: cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    space = data.observation_space
    shape = space.shape or ()
    if space.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3):
        raise UserError(
            f"--minari_id={minari_id}: observations are {space}, not frames (uint8 [H, W, 3])"
        )
    metadata = data.storage.get_episode_metadata(data.episode_indices)
    lengths = tuple(int(episode["total_steps"]) + 1 for episode in metadata)
    if not lengths:
        raise UserError(f"--minari_id={minari_id}: has no episodes")
    discrete = np.issubdtype(data.action_space.dtype, np.integer) and not data.action_space.shape
    columns = frozenset({"actions", "rewards"} if discrete else {"rewards"})
    return Recording(
        (Group(SPLITS, lengths),), _minari_steps(data, discrete), columns, {"minari_id": minari_id}
    )


def _minari_steps(data, discrete: bool) -> Iterator[Step]:
    for episode in data.iterate_episodes():
        yield Step(episode.observations[0], first=True)
        # Action and reward t belong to the transition from frame t to frame t + 1.
        for t, frame in enumerate(episode.observations[1:]):
            action = int(episode.actions[t]) if discrete else -1
            yield Step(frame, False, action, float(episode.rewards[t]))
