"""Flags of `python -m run.keypoints`: the method, the frames, the run folder."""

from absl import flags as absl_flags

from flags import collection as collection_flags
from flags import common
from permakey_tf.configs.frames import CollectionConfig
from permakey_tf.configs.keypoints import (
    DistributionConfig,
    KeypointConfig,
    LoggingConfig,
    check_fit,
    resolve,
)
from permakey_tf.training.request import KeypointRequest


def define(values: absl_flags.FlagValues = absl_flags.FLAGS) -> None:
    """Defines all flags; call once, before they are parsed."""
    for config_class in (KeypointConfig, LoggingConfig, DistributionConfig, CollectionConfig):
        common.define(config_class, flag_values=values)
    common.define_paths(
        "data_dir",
        ["data/{game}"],
        "Frame store to train on (see run.data); {game} is filled in. Several, comma-separated, "
        "are trained on as one; of different games, --game=mspacman+seaquest names them.",
        flag_values=values,
    )
    absl_flags.DEFINE_list(
        "data_weights",
        [],
        "How often a frame is drawn from each store of --data_dir, in relation: 2,1,1. Unset: "
        "every frame of all stores once an epoch.",
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

    def filled(name, template):
        return common.fill_in_to_go_on(name, template, collection.game, **names)

    logdir = filled("logdir", values["logdir"].value)
    data_dir = ",".join(filled("data_dir", path) for path in values["data_dir"].value)
    weights = common.parse_tuple("data_weights", values["data_weights"].value, int)
    logging = common.build(LoggingConfig, values)
    collect = values["collect"].value
    given = frozenset(name for name in values if values[name].present)
    distribute = common.build(DistributionConfig, values).distribute
    return KeypointRequest(
        keypoints,
        logging,
        collection,
        data_dir,
        logdir,
        collect,
        given,
        weights,
        distribute,
        frozenset(common.typed()) & given,
    )
