"""n-step double-Q targets and the TD loss of recurrent Q-learning (ICLR app. A.2.3).

Time runs along axis 1. Step t of a sequence holds the observation s_t, the action a_t taken there,
the reward r_t that followed, and discount_t: gamma, or 0 where the episode's game ended with it.
A sequence may end in a final observation, after which no action was taken (a time limit, or the
newest frame): there, values are bootstrapped whatever n is.
"""

from typing import NamedTuple

import tensorflow as tf


def double_q_values(online: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Value of every step: the target network's, of the online network's best action.

    Args:
      online, target: float32 [B, T, A], Q values of both networks.

    Returns:
      float32 [B, T]: target(s, argmax_a online(s, a)).
    """
    best = tf.argmax(online, axis=-1, output_type=tf.int32)
    return tf.gather(target, best, axis=-1, batch_dims=2)


def n_step_targets(rewards, discounts, final, values, n: int) -> tf.Tensor:
    """r_t + discount_t (r_{t+1} + discount_{t+1} (... + discount_{t+n-1} V(s_{t+n}))).

    Args:
      rewards, discounts: float32 [B, T].
      final: bool [B, T], final observations: their return is their value.
      values: float32 [B, T], V(s_t).
      n: steps, >= 1.

    Returns:
      float32 [B, T - n], the targets of the first T - n steps.
    """
    returns = values
    for _ in range(n):
        following = returns[:, 1:]
        length = following.shape[1]
        one_more = rewards[:, :length] + discounts[:, :length] * following
        returns = tf.where(final[:, :length], values[:, :length], one_more)
    return returns


class TDLoss(NamedTuple):
    """loss: float32 [], mean of errors^2 / 2 over the unmasked steps; errors: float32 [B, L]."""

    loss: tf.Tensor
    errors: tf.Tensor


def td_loss(q_values, actions, targets, mask) -> TDLoss:
    """Squared temporal-difference error, halved; no gradient passes through the targets.

    Args:
      q_values: float32 [B, L, A].
      actions: int32 [B, L].
      targets: float32 [B, L].
      mask: float32 [B, L], 1 where a step counts, else 0.
    """
    chosen = tf.gather(q_values, actions, axis=-1, batch_dims=2)
    errors = (tf.stop_gradient(targets) - chosen) * mask
    loss = 0.5 * tf.reduce_sum(tf.square(errors)) / tf.maximum(tf.reduce_sum(mask), 1.0)
    return TDLoss(loss, errors)
