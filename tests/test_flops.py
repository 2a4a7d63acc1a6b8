"""The count of operations against SPEC-sized figures and against the variables of the model."""

import dataclasses

import numpy as np
import pytest

from benchmarks import flops
from benchmarks.keypoints import paper_config
from permakey_tf.models.permakey import PermaKey


@pytest.mark.parametrize(("depth", "expected"), [("3-layer", 1.8), ("4-layer", 5.5)])
def test_lspn_macs_are_the_known_ones(depth, expected):
    costs = flops.permakey_costs(paper_config(depth), 84, 3)
    lspn = sum(cost.macs for cost in costs if cost.name.startswith("lspn"))
    assert lspn / 1e9 == pytest.approx(expected, abs=0.05)


def test_every_kernel_is_counted_once_per_position():
    config = paper_config()
    config = dataclasses.replace(
        config, lspn=dataclasses.replace(config.lspn, lsp_layers=(0, 1, 2))
    )
    kernels = [v for v in PermaKey(config, 84, 3).trainable_variables if v.path.endswith("kernel")]
    costs = flops.permakey_costs(config, 84, 3)
    assert len(costs) == len(kernels)
    sizes = sorted(int(np.prod(kernel.shape)) for kernel in kernels)
    counted = []
    for cost in costs:
        side = int(cost.formula.split("^2")[0]) if "^" in cost.formula else 1
        assert cost.macs % side**2 == 0
        counted.append(cost.macs // side**2)
    assert sorted(counted) == sizes
