"""Frames that exist already: .npz files, folders of images, videos, Minari data sets.

Each reader looks at headers first, to learn how many frames each episode has, and then yields the
frames once, in order, with the memory of a few of them. Which files of a folder are read, and for
which splits, is decided in folders.py.
"""

import collections
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike

from permakey_tf.data.folders import Part, find_files, named, sort_into_splits
from permakey_tf.data.format import SPLITS
from permakey_tf.data.preparation import remedy
from permakey_tf.errors import UserError
from permakey_tf.system.arrays import as_array, as_episodes, starts_of
from permakey_tf.system.npz import ArrayInfo, DamagedError, NpzFile
from permakey_tf.types import Step

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ogv", ".wmv", ".gif"}
)
_COLUMNS = {"actions": "iu", "rewards": "iuf"}  # optional arrays: allowed kinds of dtype
_KINDS = {"iu": "whole numbers", "iuf": "numbers", "b": "bool"}


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


# --------------------------------------------------------------------------------------------- npz


class Rollout(NamedTuple):
    """What a rollout file holds, beside its pixels.

    path: the file.
    starts: int64 [E], first frame of each episode.
    length: frames N.
    columns: what there is beside frames, of "actions" and "rewards".
    unused: names of other arrays.
    marked: whether the file says where episodes start; otherwise it counts as one.
    """

    path: Path
    starts: np.ndarray
    length: int
    columns: frozenset[str]
    unused: frozenset[str]
    marked: bool

    @property
    def lengths(self) -> np.ndarray:
        """int64 [E]: frames of each episode."""
        return np.diff(self.starts, append=self.length)

    @property
    def episodes(self) -> np.ndarray:
        """int64 [N]: number of the episode of every frame."""
        return np.repeat(np.arange(len(self.starts)), self.lengths)


def read_npz(location: str, game: str) -> Recording:
    """Opens rollout files: `frames` uint8 [N, H, W, 3] or grey [N, H, W], of any size.

    A folder has the layout of the authors' data, train/GAME/**/*.npz and test/GAME/**/*.npz, or
    another that `folders.sort_into_splits` understands. Its damaged files are passed over. Each
    file is one episode, or several where it has `episode_start`, bool [N]. `actions` and
    `rewards`, both [N], are kept where all files have them.

    Raises:
      UserError: nothing there, or a file holds other arrays; a damaged file that was named, or a
        folder's part with damaged files only.
    """
    path = Path(location)
    damaged, notes = [], []
    if path.is_dir():
        files, notes = find_files(path, frozenset({".npz"}))
        if not files:
            raise UserError(
                f"{path}: no .npz files in it; expected train/GAME/*.npz and test/GAME/*.npz"
            )
        parts, more = sort_into_splits(path, files, game, need_game=True)
        notes += more
        scanned = [(part.splits, _scan_all(part, _scan_whole_npz, damaged)) for part in parts]
    elif path.is_file():
        with NpzFile(path) as npz:
            scanned = [(SPLITS, [scan_rollout(npz)])]
    else:
        raise UserError(f"npz={location}: no such file or folder", ["npz"])
    episodes = [file for _, files in scanned for file in files]
    columns = frozenset.intersection(*(file.columns for file in episodes))
    groups = tuple(
        Group(splits, tuple(int(n) for file in files for n in file.lengths))
        for splits, files in scanned
    )
    steps = (step for file in episodes for step in _npz_steps(file, columns))
    origin = {"npz": str(path), "files": {str(file.path): file.length for file in episodes}}
    notes += [*_damage_notes(damaged), *_npz_notes(episodes, columns)]
    return Recording(groups, steps, columns, origin, tuple(notes))


def _scan_all(part: Part, scan, damaged: list[Path]) -> list:
    """`scan` of every file of a part that is whole; those that are not go to `damaged`."""
    found, errors = [], []
    for path in part.paths:
        try:
            found.append(scan(path))
        except DamagedError as error:
            errors.append(error)
            damaged.append(path)
    if not found:
        splits = " and ".join(part.splits)
        raise UserError(f"every file for {splits} is damaged, the first: {errors[0]}")
    return found


def _damage_notes(damaged: list[Path]) -> list[str]:
    return [f"damaged, passed over: {named(damaged)}"] if damaged else []


def _npz_notes(files: list[Rollout], columns: frozenset[str]) -> list[str]:
    notes = []
    unmarked = sum(not file.marked for file in files)
    if unmarked:
        notes.append(
            f"{unmarked} of {len(files)} file(s) without an array 'episode_start': each counts as "
            "one episode; where it holds several games, they cannot be told apart"
        )
    unused = collections.Counter(
        name for file in files for name in file.unused | (file.columns - columns)
    )
    if unused:
        names = [f"{name!r} ({count} file(s))" for name, count in sorted(unused.items())]
        notes.append(f"arrays not used: {named(names)}")
    return notes


def _scan_whole_npz(path: Path) -> Rollout:
    """As `scan_rollout`; also reads the frames once, since their checksum shows damage."""
    with NpzFile(path) as npz:
        scanned = scan_rollout(npz)
        for name in ("frames", *scanned.columns):
            collections.deque(npz.blocks(name), maxlen=0)
    return scanned


def scan_rollout(file: NpzFile, wanted: frozenset[str] = frozenset(_COLUMNS)) -> Rollout:
    """What a rollout file holds: the headers of its arrays are checked, no frame is read.

    Args:
      wanted: which arrays, of "actions" and "rewards", are of use where the file has them.

    Raises:
      UserError: `frames`, `episode_start` or one that is wanted is no such array.
    """
    length = _check_frames(file.path, file.info("frames"))
    columns = wanted & set(file.arrays)
    for name in columns:
        _check_column(file.path, name, file.info(name), length, _COLUMNS[name])
    starts = np.zeros(1, np.int64)
    marked = "episode_start" in file.arrays
    if marked:
        _check_column(file.path, "episode_start", file.info("episode_start"), length, "b")
        starts = np.union1d(starts, np.flatnonzero(file.read("episode_start")))
    unused = frozenset(file.arrays) - {"frames", "episode_start"} - columns
    return Rollout(file.path, starts, length, columns, unused, marked)


def _check_frames(path: Path, info: ArrayInfo) -> int:
    """The number of frames."""
    if not are_frames(info.shape, info.dtype):
        raise UserError(
            f"{path}: 'frames' must be uint8 [N, H, W, 3], or grey [N, H, W], is {info.dtype} "
            f"{list(info.shape)}"
        )
    return info.shape[0]


def are_frames(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Of [N, H, W] the last may not be channels: that is one frame."""
    grey = len(shape) == 3 and shape[2] > 4
    colour = len(shape) == 4 and shape[3] in (1, 3)
    return dtype == np.uint8 and (grey or colour) and 0 not in shape


def _check_column(path: Path, name: str, info: ArrayInfo, length: int, kinds: str) -> None:
    if info.shape != (length,) or info.dtype.kind not in kinds:
        raise UserError(
            f"{path}: {name!r} must be {_KINDS[kinds]} [{length}], one value per frame; it is "
            f"{info.dtype} {list(info.shape)}"
        )


def _npz_steps(file: Rollout, columns: frozenset[str]) -> Iterator[Step]:
    firsts = set(file.starts.tolist())
    with NpzFile(file.path) as npz:
        actions = npz.read("actions") if "actions" in columns else np.full(file.length, -1)
        rewards = npz.read("rewards") if "rewards" in columns else np.zeros(file.length)
        row = 0
        for block in npz.blocks("frames"):
            for frame in block:
                yield Step(frame, row in firsts, int(actions[row]), float(rewards[row]))
                row += 1


# ------------------------------------------------------------------------------------------ arrays


def read_arrays(frames: ArrayLike, episodes: ArrayLike | None) -> Recording:
    """Frames in memory.

    Args:
      frames: uint8 [N, H, W, 3], or grey [N, H, W], of any size.
      episodes: int [N], number of each frame's episode; frames of an episode follow one another.
        None: all are one.

    Raises:
      UserError: other arrays, or no frames.
    """
    frames = as_array(frames, "frames")
    if frames.shape[:1] == (0,):
        raise UserError(f"there are no frames: frames is {frames.dtype} {list(frames.shape)}")
    if not are_frames(frames.shape, frames.dtype):
        raise UserError(
            f"frames must be uint8 [N, H, W, 3], or grey [N, H, W], not {frames.dtype} "
            f"{list(frames.shape)}{remedy(frames)}"
        )
    numbers = as_episodes(episodes, len(frames))
    starts = starts_of(numbers)
    lengths = tuple(np.diff(starts, append=len(frames)).tolist())
    firsts = set(starts.tolist())
    steps = (Step(frame, row in firsts) for row, frame in enumerate(frames))
    origin = {"shape": list(frames.shape)}
    return Recording((Group(SPLITS, lengths),), steps, frozenset(), origin)


# ------------------------------------------------------------------------------- images and videos


def read_images(location: str, game: str = "") -> Recording:
    """Opens a folder of images, whose sub-folders are episodes, a folder of videos, each of them
    an episode, or a video file.

    Images and videos are taken in the natural order of their names. Where a folder holds both, the
    kind with more files is read. Splits and games as in `folders.sort_into_splits`.

    Raises:
      UserError: nothing there, or nothing that can be read.
    """
    path = Path(location)
    if path.is_dir():
        return _read_folder(path, game)
    if not path.is_file():
        raise UserError(f"images={location}: no such folder or video file", ["images"])
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(
            f"images={location}: is one image; name its folder, or a video file", ["images"]
        )
    video = _scan_video(path)
    origin = {"images": str(path), "frames": video.length}
    group = Group(SPLITS, (video.length,))
    return Recording((group,), _video_steps(path), frozenset(), origin, video.notes)


def _read_folder(path: Path, game: str) -> Recording:
    files, notes = find_files(path, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        known = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
        raise UserError(f"{path}: no images or videos in it (known: {known})")
    read, others = (videos, images) if len(videos) > len(images) else (images, videos)
    if others:
        notes.append(f"passed over, of another kind than the rest: {named(others)}")
    if read is videos:
        return _read_videos(path, videos, game, notes)
    return _read_image_folders(path, images, game, notes)


def _read_image_folders(path: Path, images: list[Path], game: str, notes: list) -> Recording:
    by_folder = {folder: list(few) for folder, few in itertools.groupby(images, lambda f: f.parent)}
    parts, more = sort_into_splits(path, list(by_folder), game)
    folders = [folder for part in parts for folder in part.paths]
    steps = (
        Step(_read_image(file), number == 0)
        for folder in folders
        for number, file in enumerate(by_folder[folder])
    )
    groups = tuple(
        Group(part.splits, tuple(len(by_folder[folder]) for folder in part.paths)) for part in parts
    )
    lengths = {str(folder): len(by_folder[folder]) for folder in folders}
    origin = {"images": str(path), "folders": lengths}
    return Recording(groups, steps, frozenset(), origin, (*notes, *more))


def _read_videos(path: Path, videos: list[Path], game: str, notes: list) -> Recording:
    parts, more = sort_into_splits(path, videos, game)
    damaged = []
    scanned = [(part.splits, _scan_all(part, _scan_video, damaged)) for part in parts]
    episodes = [video for _, few in scanned for video in few]
    groups = tuple(Group(splits, tuple(v.length for v in few)) for splits, few in scanned)
    steps = (step for video in episodes for step in _video_steps(video.path))
    origin = {"images": str(path), "videos": {str(v.path): v.length for v in episodes}}
    notes += [*more, *_damage_notes(damaged), *(note for v in episodes for note in v.notes)]
    return Recording(groups, steps, frozenset(), origin, tuple(notes))


def _read_image(file: Path) -> np.ndarray:
    data = file.read_bytes() if file.is_file() else b""  # a link to nothing
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    # A JPEG that breaks off is decoded without complaint, its lower part grey; the end marker
    # then lacks. It is sought in the second half since the first may hold a thumbnail's.
    is_jpeg = data.startswith(b"\xff\xd8")
    if image is None or (is_jpeg and b"\xff\xd9" not in data[len(data) // 2 :]):
        raise UserError(f"{file}: damaged, or not an image; repair or remove it")
    if not is_jpeg and (lost := _lost(file, data)):
        raise UserError(f"{file}: {lost}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _lost(file: Path, data: bytes) -> str:
    """What an image holds that one RGB frame of bytes cannot, with the remedy; "" for nothing."""
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if (number := cv2.imcount(str(file))) > 1:
        return (
            f"has {number} pages, of which the first alone would be read; save each as an image of "
            "its own"
        )
    if whole.dtype != np.uint8:
        return f"has {whole.dtype} pixels; scale them to uint8 first"
    if whole.ndim == 3 and whole.shape[2] == 4 and whole[..., 3].min() < 255:
        return "has transparent pixels, whose hidden colours would be seen; give it a background"
    return ""


class _Video(NamedTuple):
    path: Path
    length: int  # frames that can be decoded
    notes: tuple[str, ...]


def _scan_video(path: Path) -> _Video:
    video = cv2.VideoCapture(str(path))
    announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    length = 0
    while video.grab():
        length += 1
    video.release()
    if not length:
        raise DamagedError(f"{path}: damaged, or not a video that OpenCV can read")
    notes = ()
    if length < announced:
        notes = (f"{path} announces {announced} frames, only {length} could be decoded",)
    return _Video(path, length, notes)


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
            f'source=minari needs packages: pip install -e ".[minari]" ({error})', ["source"]
        ) from error
    except Exception as error:  # one of many kinds: network, hub, missing back end, format
        raise UserError(
            f"minari_id={minari_id}: cannot be loaded ({type(error).__name__}: {error})",
            ["minari_id"],
        ) from error
    space = data.observation_space
    shape = space.shape or ()
    if space.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3):
        raise UserError(
            f"minari_id={minari_id}: observations are {space}, not frames (uint8 [H, W, 3])",
            ["minari_id"],
        )
    metadata = data.storage.get_episode_metadata(data.episode_indices)
    lengths = tuple(int(episode["total_steps"]) + 1 for episode in metadata)
    if not lengths:
        raise UserError(f"minari_id={minari_id}: has no episodes", ["minari_id"])
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
