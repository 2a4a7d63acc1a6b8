"""Which features and errors a changed pixel reaches."""

import numpy as np
import pytest

from permakey_tf.configs.keypoints import Stack
from permakey_tf.ops.changes import changes_before, error_grid, feature_grids, receptive_field
from permakey_tf.ops.windows import Bordered, Windows


@pytest.mark.parametrize(
    ("kernel_sizes", "strides", "layer", "patch_size", "side", "expected"),
    [
        ((1,), (1,), 0, 1, 8, (1, 3, 1)),  # the pixel and its neighbours
        ((1,), (1,), 0, 2, 8, (2, 6, 2)),
        ((3,), (1,), 0, 2, 8, (3, 8, 2)),
        ((4,), (1,), 0, 2, 84, (3, 9, 2)),  # SAME pads an even kernel more behind than before
        ((4, 3), (1, 2), 1, 2, 84, (5, 16, 4)),  # of an even side, a stride pads behind alone
    ],
)
def test_receptive_field_by_hand(kernel_sizes, strides, layer, patch_size, side, expected):
    stack = Stack((1,) * len(strides), kernel_sizes, strides)
    assert receptive_field(stack, layer, side, patch_size) == expected


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (0, (1, 4, 1)),
        (1, (1, 6, 2)),  # 3 features of layer 0, two apart from the next 3
        (2, (1, 10, 4)),
        (3, (5, 18, 4)),
    ],
)
def test_receptive_field_of_a_feature_by_hand(layer, expected):
    stack = Stack((1, 1, 1, 1), (4, 3, 3, 3), (1, 2, 2, 1))
    assert receptive_field(stack, layer, 84) == expected


def test_zeros_around_features_suffice_for_all_that_reads_them():
    """SAME pads an even kernel more behind than before, patches that cut the map more still."""
    stack = Stack((4, 8, 8, 8), (4, 3, 3, 3), (1, 2, 2, 1))
    grids = feature_grids(stack, 4, lsp_layers=(2,), patch_size=2, image_size=84)
    assert grids[0].windows == Windows(Bordered(84, 1, 2), 4, 1, 1)
    assert [grid.kept for grid in grids] == [
        Bordered(84, 0, 1),  # of an even side, a stride pads behind alone
        Bordered(42, 0, 1),
        Bordered(21, 2, 3),  # a patch of 2, and one row that 21 lacks; layer 3 needs 1 and 1
        Bordered(21, 0, 0),
    ]


def test_errors_are_predicted_from_a_patch_and_its_neighbours_in_the_map_that_is_kept():
    """Another layer may need more zeros around it than the patches do."""
    stack = Stack((4, 8), (3, 9), (1, 1))
    features, _ = feature_grids(stack, 2, lsp_layers=(0,), patch_size=2, image_size=21)
    assert features.kept == Bordered(21, 4, 4)
    errors = error_grid(stack, 0, features, patch_size=2)
    assert errors.kept == Bordered(11)
    assert errors.windows == Windows(Bordered(21, 4, 4), 6, 2, 2)


def test_changes_above_and_left():
    changed = np.zeros([2, 3, 3], bool)
    changed[0, 0, 1] = changed[0, 2, 2] = changed[1, 1, 0] = True
    one, other = changes_before(changed)
    assert one.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 2]]
    assert other.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1]]
