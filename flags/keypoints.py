"""Flags of `python -m run.keypoints`: the method, the frames, the run folder."""

from absl import flags as absl_flags

from flags import collection as collection_flags
from flags import common
from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.configs.keypoints import KeypointConfig, LoggingConfig, check_fit, resolve
from permakey_tf.training.request import KeypointRequest


def define(values: absl_flags.FlagValues = absl_flags.FLAGS) -> None:
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
    absl_flags.DEFINE_boolean(
        "collect",
        True,
        "Make the frame store with the collection flags where it is missing.",
        flag_values=values,
    )


def from_flags(values: absl_flags.FlagValues = absl_flags.FLAGS) -> KeypointRequest:
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
    return KeypointRequest(keypoints, logging, collection, data_dir, logdir, collect, given)
