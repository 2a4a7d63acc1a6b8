"""Flags of `python -m run.data`: where frames come from and where the store goes."""

from typing import NamedTuple

from flags import collection as collection_flags
from flags import common
from permakey_tf.configs.frames import CollectionConfig, canonical_game

_OUT = common.define_path("out", None, "Folder to make; must not exist yet. Unset: data/GAME.")
# In run.keypoints --seed is the seed of training, and this one is --collect_seed.
_RENAME = {"collect_seed": "seed"}


class Command(NamedTuple):
    """What the flags ask for."""

    collection: CollectionConfig
    out: str


def define() -> None:
    """Defines all flags; call once, before they are parsed."""
    common.define(CollectionConfig, _RENAME)


def from_flags() -> Command:
    """Checks all flags together. Raises UserError naming the flag that is wrong."""
    collection = collection_flags.from_flags(rename=_RENAME)
    return Command(collection, _OUT.value or f"data/{canonical_game(collection.game)}")
