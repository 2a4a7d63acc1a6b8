"""A keypoint training that is asked for: its settings, frames and places, checked before it begins.

Nothing here needs TensorFlow.
"""

import dataclasses
import json
from pathlib import Path

from permakey_tf.configs.base import as_begun
from permakey_tf.configs.frames import CollectionConfig, canonical_game, has_effect
from permakey_tf.configs.keypoints import KeypointConfig, LoggingConfig, check_batch
from permakey_tf.data.joining import join_stores
from permakey_tf.data.sources import build_store, played_counts
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import MadeMeanwhileError
from permakey_tf.envs.atari import find_rom
from permakey_tf.errors import UserError, settings_named
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.runs.progress import Status, read_status
from permakey_tf.system import disk, schema
from permakey_tf.system.cluster import Line


@dataclasses.dataclass(frozen=True)
class KeypointRequest:
    """What a keypoint training is asked to do.

    Attributes:
      keypoints, logging: settings of the training.
      collection: where its frames come from, if they are still to be collected.
      data_dir: frame store, or several, comma-separated, that are joined.
      logdir: run folder.
      collect: whether a missing store is made.
      given: names of the settings that the user gave.
      typed: those of them that no flag file gave.
      data_weights: of several stores, see `join_stores`.
      distribute: which devices share a batch, see `DistributionConfig`.
    """

    keypoints: KeypointConfig
    logging: LoggingConfig
    collection: CollectionConfig
    data_dir: str
    logdir: str
    collect: bool
    given: frozenset[str]
    data_weights: tuple[int, ...] = ()
    distribute: str = "none"
    typed: frozenset[str] = frozenset()

    @property
    def stores(self) -> list[Path]:
        """The folders that `data_dir` names; one may have a comma in its name."""
        whole = Path(self.data_dir)
        return [whole] if whole.exists() else [Path(name) for name in self.data_dir.split(",")]

    @property
    def is_missing(self) -> bool:
        """Whether a store is still to be made."""
        return not all(path.exists() for path in self.stores)

    def as_begun(self) -> "KeypointRequest":
        """The same with the settings of an earlier version that its run began with, see `as_begun`.

        Raises:
          UserError: the folder is no keypoint run's, or damaged.
        """
        if not KeypointFolder.has_begun(self.logdir):
            return self
        begun = KeypointFolder.open(self.logdir).config
        return dataclasses.replace(self, keypoints=as_begun(self.keypoints, begun, self.given))


def check_places(request: KeypointRequest) -> Status:
    """Where the run stands; checks first whatever would refuse it after its frames are collected.

    Writes nothing that stays.

    Raises:
      UserError: a run folder of something else, with other settings or that cannot be written; a
        store that does not fit, cannot be made, or will have fewer frames than a batch.
    """
    store = open_store(request)
    if not store:
        disk.check_place(Path(request.data_dir).parent)
    frames = FrameSpec.of(store) if store else _frames_to_come(request)
    KeypointFolder.check_place(request.logdir)
    return read_status(request.logdir, request.as_begun().keypoints, frames)


def refuse_early(request: KeypointRequest) -> Status:
    """As `check_places`; also refuses a run that another process works on."""
    status = check_places(request)
    if status.in_use:
        raise UserError(f"{request.logdir} is in use by another process")
    return status


def store_for_all(request: KeypointRequest, line: Line) -> FrameStore:
    """As `open_or_collect` on the chief; the other workers wait for its store and open it."""
    if line.is_chief:
        store = open_or_collect(request)
        line.from_chief(lambda: store.content_hash)
        return store
    made = line.from_chief(lambda: None)
    store = open_store(request)
    if store is None or store.content_hash != made:
        raise UserError(
            f"data_dir={request.data_dir} is not the chief's frame store on this machine: it must "
            "be the same folder, or a copy",
            ["data_dir"],
        )
    return store


def _frames_to_come(request: KeypointRequest) -> FrameSpec:
    """What is known of a store before it is made. Raises UserError for a game there is not."""
    wanted = request.collection
    if wanted.source == "ale" and "+" in wanted.game:
        raise UserError(
            f"data_dir={request.data_dir} does not exist: frames of several games are made one by "
            "one with run.data, and named in data_dir with commas between",
            ["data_dir"],
        )
    if wanted.source == "ale":
        try:
            find_rom(wanted.game)
        except UserError as error:
            raise UserError(
                f"data_dir={request.data_dir} does not exist, and its frames cannot be played: "
                f"{error}",
                ["data_dir"],
            ) from error
    if counts := played_counts(wanted):
        more = "collect more with num_frames"
        check_batch(request.keypoints, counts["train"], request.data_dir, more, "num_frames")
    return FrameSpec(
        wanted.game,
        wanted.image_size,
        wanted.channels,
        "",
        keep_aspect=wanted.keep_aspect,
    )


def open_or_collect(request: KeypointRequest) -> FrameStore:
    """The frame store that the request names, made first where it is missing.

    Raises:
      UserError: no store and collect is off, or a store that does not fit the other settings.
    """
    store = open_store(request)
    if store:
        for note in notes_on(store, request):
            print(f"note: {note}")
        return store
    try:
        store = build_store(request.collection, request.data_dir)
    except MadeMeanwhileError:
        print(f"note: {request.data_dir} was made by another process meanwhile, and is used")
        return open_store(request)
    for note in store.notes:
        print(f"note: {note}")
    return store


def open_store(request: KeypointRequest) -> FrameStore | None:
    """The frame store that the request names; None where it is still to be made.

    Raises:
      UserError: as `open_or_collect`.
    """
    wanted, paths = request.collection, request.stores
    if request.data_weights and len(paths) == 1:
        raise UserError(
            f"data_weights has no effect on one store, {paths[0]}: leave it out, or name several "
            "in data_dir",
            ["data_weights", "data_dir"],
        )
    missing = [path for path in paths if not path.exists()]
    if missing and (len(paths) > 1 or not request.collect):
        instead = "" if len(paths) > 1 else ", or pass collect"
        raise UserError(
            f"data_dir={missing[0]} does not exist; make it with `python -m run.data "
            f"--game={wanted.game} --out={missing[0]}`{instead}",
            ["data_dir", "collect"],
        )
    if missing:
        return None
    stores = [FrameStore.open(path) for path in paths]
    with settings_named(lambda name: f"data_{name}"):  # weights, to who joins stores himself
        store = join_stores(stores, request.data_weights) if len(stores) > 1 else stores[0]
    held = {
        "game": store.game,
        "image_size": store.image_size,
        "channels": store.channels,
        "keep_aspect": store.keep_aspect,
    }
    asked = dataclasses.asdict(wanted) | {"game": canonical_game(wanted.game)}
    for name, value in held.items():
        if value != asked[name]:
            raise UserError(
                f"{store.path} holds frames of another kind: pass {name}={value}", [name]
            )
    return store


def notes_on(store: FrameStore, request: KeypointRequest) -> list[str]:
    """What the user should know of the store's frames, and of flags that have no effect on it."""
    notes = list(store.notes)
    for part in store.parts or (store,):
        notes += _unused_flags(part, request)
    return notes


def _unused_flags(store: FrameStore, request: KeypointRequest) -> list[str]:
    """A store that is there is used as it is: which collection flags have no effect, in words.

    Those that were typed: a preset may be for frames of other sources. Its number of frames is told
    too, and the default one where the store has fewer.
    """
    made_with, notes = store.manifest.get("config", {}), []
    wanted = request.collection.to_dict()
    for field in dataclasses.fields(request.collection):
        name = field.name
        played = name == "num_frames" and has_effect(field, made_with.get("source", ""))
        asked = name in (request.given if played else request.typed)
        if made_with and asked and not _alike(name, made_with, wanted):
            made = f"with {name}={made_with[name]}" if name in made_with else f"without {name}"
            notes.append(f"{store.path} exists, {made}; {name} is not used")
    usual = sum((played_counts(request.collection) or {}).values())
    played_alike = made_with.get("source") == wanted["source"]
    if played_alike and "num_frames" not in request.given and len(store.frames) < usual:
        notes.append(
            f"{store.path} exists, with {len(store.frames):,} frames; the default is {usual:,}"
        )
    return notes


def _alike(name: str, made_with: dict, wanted: dict) -> bool:
    """Whether a store was made with the value that is asked for, in any spelling of it."""
    made, value = made_with.get(name), wanted[name]
    if name == "game" and isinstance(made, str):
        return canonical_game(made) == canonical_game(value)
    if name == "env_kwargs" and isinstance(made, str):
        return made == value or _canonical(made) == _canonical(value)
    return made == value


def _canonical(text: str) -> str:
    """JSON as Python writes it, keys in order; what is none stays as it is."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def all_notes(request: KeypointRequest) -> list[str]:
    """Of a finished run: what evaluation.json notes, and the flags that have no effect now.

    Raises:
      UserError: the file is damaged.
    """
    folder = KeypointFolder.open(request.logdir)
    file = folder.results["test losses"]
    # Without its latest checkpoint a run that is not evaluated is refused.
    can_evaluate = folder.latest_checkpoint.exists()
    remedy = "delete it: the same command makes it anew" if can_evaluate else ""
    notes = schema.parse(list[str], schema.read_object(file, remedy).get("notes", []), "notes")
    store = None if request.is_missing else open_store(request)
    return list(dict.fromkeys(notes + (notes_on(store, request) if store else [])))
