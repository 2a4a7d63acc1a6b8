"""What the replicas of a batch have in common, where it is spread over several devices.

For code that runs within `tf.distribute.Strategy.run`. Every replica has as many examples of the
global batch, in the order of the replicas. Anywhere else there is one replica, whose batch is all
there is, and each function is the identity.
"""

import tensorflow as tf


def number() -> int:
    """How many replicas share the batch."""
    context = tf.distribute.get_replica_context()  # None: within a scope, where models are made
    return 1 if context is None else context.num_replicas_in_sync


def share(value) -> tf.Tensor:
    """What a replica's mean over its examples adds to the mean over the global batch."""
    return value / number() if number() > 1 else value


def mean(tensors):
    """Means over the replicas, by one all-reduce; gradients flow to all of them.

    Args:
      tensors: a nest of float32 tensors of any shapes.

    Returns:
      The same nest, equal on all replicas.
    """
    if number() == 1:
        return tensors
    parts = tf.nest.flatten(tensors)
    packed = tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)
    context = tf.distribute.get_replica_context()
    packed = context.all_reduce(tf.distribute.ReduceOp.MEAN, packed)
    sizes = [tf.size(part) for part in parts]
    means = tf.split(packed, sizes, num=len(parts))
    shaped = [tf.reshape(one, tf.shape(part)) for one, part in zip(means, parts, strict=True)]
    return tf.nest.pack_sequence_as(tensors, shaped)


def moments(mean_here, variance_here, around) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of the values of all replicas, from those of each replica's.

    Args:
      mean_here, variance_here: float32, of equal shapes.
      around: of the same shape, equal on all replicas: the nearer to the mean, the less of the
        variance is lost to rounding.

    Returns:
      Both, equal on all replicas; the variance is the population's.
    """
    if number() == 1:
        return mean_here, variance_here
    off = mean_here - around
    off, square = mean([off, variance_here + tf.square(off)])
    return around + off, tf.nn.relu(square - tf.square(off))


def global_size(size) -> tf.Tensor:
    """Examples of the global batch, where each replica has `size`."""
    return size * number()


def of_mine(values) -> tf.Tensor:
    """A replica's own rows of [global batch, ...], which every replica has made alike.

    Random numbers that are drawn for the global batch and cut by this belong to the example, and
    not to the replica.
    """
    if number() == 1:
        return values
    size = tf.shape(values)[0] // number()
    start = tf.distribute.get_replica_context().replica_id_in_sync_group * size
    return values[start : start + size]
