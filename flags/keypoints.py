"""Flags of `python -m run.keypoints`: the method, the frames, the run folder."""

import dataclasses
from pathlib import Path

from absl import flags

from flags import collection as collection_flags
from flags import common
from permakey_tf.configs.frames import CollectionConfig, canonical_game
from permakey_tf.configs.keypoints import KeypointConfig, LoggingConfig, check_fit, resolve
from permakey_tf.data.sources import build_store, played_counts
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import MadeMeanwhileError
from permakey_tf.envs.atari import find_rom
from permakey_tf.errors import UserError
from permakey_tf.runs.keypoints import FrameSpec, RunFolder
from permakey_tf.runs.progress import Status, read_status
from permakey_tf.system import disk, schema


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines all flags; call once, before they are parsed."""
    for config_class in (KeypointConfig, LoggingConfig, CollectionConfig):
        common.define(config_class, flag_values=values)
    common.define_path(
        "data_dir",
        "data/{game}",
        "Frame store to train on (see run.data); {game} is filled in.",
        flag_values=values,
    )
    common.define_path(
        "logdir",
        "runs/{game}_{method}_seed{seed}",
        "Run folder: checkpoints, metrics, figures. Holding a run with the same settings, it is "
        "resumed; with --schedule=staircase, more --max_steps or --epochs go on from its end. "
        "{game}, {method} and {seed} are filled in.",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "collect",
        True,
        "Make the frame store with the collection flags where it is missing.",
        flag_values=values,
    )


@dataclasses.dataclass(frozen=True)
class Command:
    """What the flags ask for. `given`: names of the flags that were given."""

    keypoints: KeypointConfig
    logging: LoggingConfig
    collection: CollectionConfig
    data_dir: str
    logdir: str
    collect: bool
    given: frozenset[str]


def from_flags(values: flags.FlagValues = flags.FLAGS) -> Command:
    """Checks all flags together. Raises UserError naming the flag that is wrong."""
    collection = collection_flags.from_flags(values)
    keypoints = common.build(KeypointConfig, values)
    with common.settings_as_flags():
        keypoints = resolve(keypoints, collection.game)
        check_fit(keypoints, collection.image_size)
    names = {"method": keypoints.method, "seed": str(keypoints.training.seed)}
    data_dir, logdir = (
        common.fill_in(name, values[name].value, collection.game, **names)
        for name in ("data_dir", "logdir")
    )
    logging = common.build(LoggingConfig, values)
    collect = values["collect"].value
    given = frozenset(name for name in values if values[name].present)
    return Command(keypoints, logging, collection, data_dir, logdir, collect, given)


def check_places(command: Command) -> Status:
    """Where the run stands; checks first whatever would refuse it after its frames are collected.

    Writes nothing that stays.

    Raises:
      UserError: a run folder of something else, with other settings or that cannot be written; a
        store that does not fit, cannot be made, or will have fewer frames than a batch.
    """
    store = open_store(command)
    if not store:
        disk.check_place(Path(command.data_dir).parent)
    frames = FrameSpec.of(store) if store else _frames_to_come(command)
    RunFolder.check_place(command.logdir)
    return read_status(command.logdir, command.keypoints, frames)


def refuse_early(command: Command) -> Status:
    """As `check_places`; also refuses a run that another process works on."""
    status = check_places(command)
    if status.in_use:
        raise UserError(f"{command.logdir} is in use by another process")
    return status


def _frames_to_come(command: Command) -> FrameSpec:
    """What is known of a store before it is made. Raises UserError for a game there is not."""
    wanted, training = command.collection, command.keypoints.training
    if wanted.source == "ale":
        find_rom(wanted.game)
    counts = played_counts(wanted)
    if counts and command.keypoints.method == "permakey" and counts["train"] < training.batch_size:
        raise UserError(
            f"{command.data_dir}: {counts['train']} training frames are fewer than "
            f"--batch_size={training.batch_size}: lower it, or collect more with --num_frames"
        )
    return FrameSpec(
        wanted.game,
        wanted.image_size,
        wanted.channels,
        "",
        keep_aspect=wanted.keep_aspect,
    )


def open_or_collect(command: Command) -> FrameStore:
    """The frame store that the command names, made first where it is missing.

    Raises:
      UserError: no store and --nocollect, or a store that does not fit the other flags.
    """
    store = open_store(command)
    if store:
        for note in unused_flags(store, command):
            print(f"note: {note}")
        return store
    try:
        store = build_store(command.collection, command.data_dir)
    except MadeMeanwhileError:
        print(f"note: {command.data_dir} was made by another process meanwhile, and is used")
        return open_store(command)
    for note in store.manifest["notes"]:
        print(f"note: {note}")
    return store


def open_store(command: Command) -> FrameStore | None:
    """The frame store that the command names; None where it is still to be made.

    Raises:
      UserError: as `open_or_collect`.
    """
    path, wanted = Path(command.data_dir), command.collection
    if not path.exists():
        if not command.collect:
            raise UserError(
                f"--data_dir={path} does not exist; make it with `python -m run.data "
                f"--game={wanted.game} --out={path}`, or pass --collect"
            )
        return None
    store = FrameStore.open(path)
    held = {
        "game": store.game,
        "image_size": store.image_size,
        "channels": store.channels,
        "keep_aspect": store.keep_aspect,
    }
    asked = dataclasses.asdict(wanted) | {"game": canonical_game(wanted.game)}
    for name, value in held.items():
        if value != asked[name]:
            raise UserError(f"{path} holds frames of {name} {value}: pass --{name}={value}")
    return store


def unused_flags(store: FrameStore, command: Command) -> list[str]:
    """A store that is there is used as it is: which collection flags have no effect, in words.

    Those that were given; and the default number of frames, where the store has fewer.
    """
    made_with, notes = store.manifest.get("config", {}), []
    wanted = command.collection.to_dict()
    for name, value in wanted.items():
        if made_with and name in command.given and made_with.get(name) != value:
            made = f"with {name}={made_with[name]}" if name in made_with else f"without {name}"
            notes.append(f"{store.path} exists, {made}; --{name} is not used")
    usual = sum((played_counts(command.collection) or {}).values())
    played_alike = made_with.get("source") == wanted["source"]
    if played_alike and "num_frames" not in command.given and len(store.frames) < usual:
        notes.append(
            f"{store.path} exists, with {len(store.frames):,} frames; the default is {usual:,}"
        )
    return notes


def all_notes(command: Command) -> list[str]:
    """Of a finished run: what evaluation.json notes, and the flags that have no effect now."""
    evaluation = schema.read_object(RunFolder.open(command.logdir).results["test losses"])
    notes = schema.parse(list[str], evaluation.get("notes", []), "notes")
    store = open_store(command) if Path(command.data_dir).exists() else None
    return list(dict.fromkeys(notes + (unused_flags(store, command) if store else [])))
