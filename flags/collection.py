"""The flags of where frames come from, which `run.data` and `run.keypoints` share."""

from absl import flags as absl_flags

from flags import common
from permakey_tf.configs.frames import CollectionConfig, atari_games, canonical_game
from permakey_tf.errors import UserError


def from_flags(
    values: absl_flags.FlagValues = absl_flags.FLAGS, rename: dict[str, str] | None = None
) -> CollectionConfig:
    """The collection that the flags describe; `rename` as in `common.define`.

    Raises:
      UserError: naming the flag that is wrong, or `game` where frames that are not played need a
        name: the default would call them MsPacman's, and train with its number of keypoints.
    """
    collection = common.build(CollectionConfig, values, rename)
    if collection.source != "ale" and not values["game"].present:
        raise UserError(
            f"--game is needed with --source={collection.source}: a name for these frames, by "
            "which run.keypoints asks for them, such as --game=pong"
        )
    played = canonical_game(collection.env_id) if collection.source == "gymnasium" else ""
    if played in atari_games() and canonical_game(collection.game) in atari_games() - {played}:
        raise UserError(
            f"--game={collection.game}: --env_id={collection.env_id} plays {played}, and keypoints "
            f"would be trained as another game's: give --game={played}, or a name of your own"
        )
    return collection
