"""3-step double-Q targets by hand, at every kind of end, and the TD loss."""

import numpy as np
import pytest
import tensorflow as tf

from permakey_tf.ops import returns

G = 0.9


def targets(rewards, discounts, values, final=None, n=3):
    final = final or [False] * len(rewards)
    arrays = [np.array([x], np.float32) for x in (rewards, discounts, values)]
    result = returns.n_step_targets(arrays[0], arrays[1], np.array([final]), arrays[2], n)
    return np.ravel(result)


def test_double_q_takes_the_online_networks_action_and_the_targets_value():
    online = np.array([[[1.0, 5.0, 2.0], [7.0, 0.0, 0.0]]], np.float32)
    target = np.array([[[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]]], np.float32)
    np.testing.assert_array_equal(returns.double_q_values(online, target), [[20.0, 40.0]])


def test_three_steps_by_hand():
    # r_t + g r_{t+1} + g^2 r_{t+2} + g^3 V(s_{t+3})
    result = targets([1, 2, 4, 8, 16], [G] * 5, [100, 200, 300, 400, 500])
    assert result == pytest.approx([1 + G * 2 + G**2 * 4 + G**3 * 400,
                                    2 + G * 4 + G**2 * 8 + G**3 * 500], rel=1e-6)  # fmt: skip


def test_a_terminal_step_cuts_rewards_and_values():
    # The game ends with the action at step 1, with a reward on that last action alone.
    result = targets([0, 5, 7, 7, 7], [G, 0, G, G, G], [100] * 5)
    assert result == pytest.approx([G * 5, 5], rel=1e-6)


def test_a_time_limit_is_bootstrapped_through():
    # No action at step 2, the final observation: its value counts, whatever follows in the arrays.
    result = targets(
        [1, 2, 9, 9, 9], [G] * 5, [0, 0, 300, 999, 999], [False, False, True, True, True]
    )
    assert result == pytest.approx([1 + G * 2 + G**2 * 300, 2 + G * 300], rel=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_against_a_loop(n):
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=[2, 4, 11])
    discounts = np.where(rng.random([4, 11]) < 0.2, 0.0, G)
    final = rng.random([4, 11]) < 0.1
    found = returns.n_step_targets(
        *(x.astype(np.float32) for x in (rewards, discounts)), final, values.astype(np.float32), n
    )
    found = found.numpy()
    assert found.shape == (4, 11 - n)
    for b, t in np.ndindex(4, 11 - n):
        total, scale = 0.0, 1.0
        for k in range(n + 1):
            if k == n or final[b, t + k]:
                total += scale * values[b, t + k]
                break
            total += scale * rewards[b, t + k]
            scale *= discounts[b, t + k]
        assert found[b, t] == pytest.approx(total, abs=1e-5)


def test_loss_by_hand_with_a_masked_step_and_no_gradient_through_the_targets():
    q_values = tf.Variable([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    wanted = tf.Variable([[2.0, 0.0, 100.0]])
    with tf.GradientTape() as tape:
        loss, errors = returns.td_loss(
            q_values, tf.constant([[1, 0, 0]]), wanted, [[1.0, 1.0, 0.0]]
        )
    np.testing.assert_array_equal(errors, [[0.0, -3.0, 0.0]])
    assert float(loss) == pytest.approx(0.5 * (0 + 9) / 2)
    by_q, by_target = tape.gradient(loss, [q_values, wanted])
    np.testing.assert_allclose(by_q, [[[0, 0], [1.5, 0], [0, 0]]])
    assert by_target is None
