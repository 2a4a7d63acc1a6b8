"""Flags of `python -m run.keypoints`: the method, the frames, the run folder."""

import dataclasses
from pathlib import Path

from absl import flags

from flags import common
from permakey_tf.configs import (
    CollectionConfig,
    KeypointConfig,
    LoggingConfig,
    canonical_game,
    resolve,
)
from permakey_tf.data.frames import FrameStore
from permakey_tf.data.sources import build_store
from permakey_tf.errors import UserError

_DATA_DIR = flags.DEFINE_string(
    "data_dir", "data/{game}", "Frame store to train on (see run.data); {game} is filled in."
)
_LOGDIR = flags.DEFINE_string(
    "logdir",
    "runs/{game}_{method}_seed{seed}",
    "Run folder: checkpoints, metrics, figures. Holding a run with the same settings, it is "
    "resumed. {game}, {method} and {seed} are filled in.",
)
_COLLECT = flags.DEFINE_boolean(
    "collect", True, "Make the frame store with the collection flags where it is missing."
)


def define() -> None:
    """Defines all flags; call once, before they are parsed."""
    for config_class in (KeypointConfig, LoggingConfig, CollectionConfig):
        common.define(config_class)


@dataclasses.dataclass(frozen=True)
class Command:
    """What the flags ask for."""

    keypoints: KeypointConfig
    logging: LoggingConfig
    collection: CollectionConfig
    data_dir: str
    logdir: str
    collect: bool


def from_flags() -> Command:
    """Checks all flags together. Raises UserError naming the flag that is wrong."""
    collection = common.build(CollectionConfig)
    keypoints = resolve(common.build(KeypointConfig), collection.game)
    names = {
        "{game}": canonical_game(collection.game),
        "{method}": keypoints.method,
        "{seed}": str(keypoints.training.seed),
    }
    data_dir, logdir = _DATA_DIR.value, _LOGDIR.value
    for placeholder, value in names.items():
        data_dir, logdir = (x.replace(placeholder, value) for x in (data_dir, logdir))
    logging = common.build(LoggingConfig)
    return Command(keypoints, logging, collection, data_dir, logdir, _COLLECT.value)


def open_or_collect(command: Command) -> FrameStore:
    """The frame store that the command names, made first where it is missing.

    Raises:
      UserError: no store and --nocollect, or a store that does not fit the other flags.
    """
    path, wanted = Path(command.data_dir), command.collection
    if not path.exists():
        if not command.collect:
            raise UserError(
                f"--data_dir={path} does not exist; make it with `python -m run.data "
                f"--game={wanted.game} --out={path}`, or pass --collect"
            )
        store = build_store(wanted, path)
        for note in store.manifest["notes"]:
            print(f"note: {note}")
        return store
    store = FrameStore.open(path)
    held = {
        "game": canonical_game(store.manifest["game"]),
        "image_size": store.image_size,
        "channels": store.channels,
    }
    asked = dataclasses.asdict(wanted) | {"game": canonical_game(wanted.game)}
    for name, value in held.items():
        if value != asked[name]:
            raise UserError(f"{path} holds frames of {name} {value}: pass --{name}={value}")
    _tell_unused(store, wanted)
    return store


def _tell_unused(store: FrameStore, wanted: CollectionConfig) -> None:
    """A store that is there is used as it is: says which collection flags have no effect."""
    made_with = store.manifest.get("config", {})
    for name, value in wanted.to_dict().items():
        if flags.FLAGS[name].present and name in made_with and made_with[name] != value:
            print(f"note: {store.path} exists, with {name}={made_with[name]}; --{name} is not used")
