"""Flags of `python -m run.data`: where frames come from and where the store goes."""

from typing import NamedTuple

from absl import flags as absl_flags

from flags import collection as collection_flags
from flags import common
from permakey_tf.configs.frames import CollectionConfig

# In run.keypoints --seed is the seed of training, and this one is --collect_seed.
_RENAME = {"collect_seed": "seed"}


class Collection(NamedTuple):
    """What the flags ask for."""

    collection: CollectionConfig
    out: str


def define(values: absl_flags.FlagValues = absl_flags.FLAGS) -> None:
    """Defines all flags; call once, before they are parsed."""
    common.define(CollectionConfig, _RENAME, values)
    common.define_path(
        "out",
        "data/{game}",
        "Folder to make; must not exist yet; {game} is filled in.",
        flag_values=values,
    )


def from_flags(values: absl_flags.FlagValues = absl_flags.FLAGS) -> Collection:
    """Checks all flags together. Raises UserError naming the flag that is wrong."""
    collection = collection_flags.from_flags(values, _RENAME)
    return Collection(collection, common.fill_in("out", values["out"].value, collection.game))
