"""The count of operations against SPEC-sized figures and against the variables of the model."""

import dataclasses

import numpy as np
import pytest

from benchmarks import flops, operations
from benchmarks.keypoints import paper_config
from permakey_tf.configs.agent import AgentConfig, EncoderConfig
from permakey_tf.models.permakey import PermaKey
from permakey_tf.models.q_network import build_q_network
from permakey_tf.models.transporter import Transporter
from permakey_tf.models.vision import Nodes


@pytest.mark.parametrize(("depth", "expected"), [("3-layer", 1.8), ("4-layer", 5.5)])
def test_lspn_macs_are_the_known_ones(depth, expected):
    costs = flops.layer_costs(paper_config(lsp_depth=depth), 84, 3)
    lspn = sum(cost.macs for cost in costs if cost.name.startswith("lspn"))
    assert lspn / 1e9 == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (PermaKey, {"lspn": {"lsp_layers": (0, 1, 2)}}),
        (PermaKey, {"pointnet": {"pointnet_coordinates": True}}),
        (PermaKey, {"extractor": "pursuit"}),
        (Transporter, {"method": "transporter"}),
    ],
)
def test_every_kernel_is_counted_once_per_position(model, changes):
    config = paper_config()
    for part, values in changes.items():
        if isinstance(values, dict):
            values = dataclasses.replace(getattr(config, part), **values)
        config = dataclasses.replace(config, **{part: values})
    kernels = [v for v in model(config, 84, 3).trainable_variables if v.path.endswith("kernel")]
    costs = flops.layer_costs(config, 84, 3)
    assert len(costs) == len(kernels)
    sizes = sorted(int(np.prod(kernel.shape)) for kernel in kernels)
    counted = []
    for cost in costs:
        side = int(cost.formula.split("^2")[0]) if "^" in cost.formula else 1
        assert cost.macs % side**2 == 0
        counted.append(cost.macs // side**2)
    assert sorted(counted) == sizes


def test_the_operations_timed_alone_are_those_of_a_step():
    convs = operations.transporter_convs()
    counted = sum(2 * c.side**2 * c.kernel**2 * c.inputs * c.outputs * sum(c.counts) for c in convs)
    costs = flops.layer_costs(paper_config(method="transporter"), 84, 3)
    assert counted == flops.training_flops(costs)
    assert [c.stride for c in convs] == [1, 1, 2, 1] * 2 + [1] * 5
    assert sum(c.normalised for c in convs) == 4 + 4 + 3


def test_part_of_the_patches_by_hand():
    """A fifth of all products; with PointNet a whole forward product more, for its maps."""
    all_costs, part, mapped = (
        {c.name: c for c in flops.layer_costs(paper_config(**settings), 84, 3)}
        for settings in (
            {"extractor": "pursuit"},
            {"extractor": "pursuit", "lsp_sample": 0.2},
            {"lsp_sample": 0.2},
        )
    )
    for name, cost in all_costs.items():
        products = cost.products * (0.2 if name.startswith("lspn") else 1)
        assert part[name] == cost._replace(products=pytest.approx(products))
    assert mapped["lspn/layer_0/dense_0"].products == pytest.approx(2 * 0.2 + 1)
    assert mapped["lspn/layer_1/dense_2"].products == pytest.approx(3 * 0.2 + 1)
    assert mapped["pointnet/regressor"].products == 3


def test_transporter_by_hand():
    costs = {c.name: c for c in flops.layer_costs(paper_config(method="transporter"), 84, 3)}
    # Phi's second block: 16 to 16 filters of 3x3 at 84x84, forward for both frames, backward for b.
    block = costs["extractor/block_1"]
    assert (block.macs, block.products) == (84**2 * 9 * 16 * 16, 4)
    assert not block.inference
    assert costs["keypointer/encoder/block_0"].products == 3
    assert costs["refine_net/block_2"].macs == 84**2 * 9 * 32 * 16


@pytest.mark.parametrize("steps", [1, 3])
def test_the_graph_agent_by_its_kernels(steps):
    config = AgentConfig(encoder=EncoderConfig(message_passing_steps=steps))
    network, keypoints = build_q_network(config, 5, num_actions=6), 5
    nodes = Nodes(np.zeros([1, 5, 32], np.float32), np.zeros([1, 5, 2], np.float32))
    network(nodes, network.initial_state(1))
    sizes = {
        name.removeprefix("q_network/").removeprefix("graph_encoder/"): int(np.prod(kernel.shape))
        for name, kernel in network.named_weights.items()
        if name.endswith("kernel")
    }
    first, second = (sizes.pop(f"process_edge/dense_{i}/kernel") for i in range(2))
    macs = steps * (keypoints * first * 2 // 3 + keypoints**2 * second)
    macs += (steps - 1) * keypoints**2 * first // 3  # all edges start equal: nearly free
    for name, size in sizes.items():
        if name.startswith("encode_edge"):
            continue  # a single one
        at_nodes = name.startswith(("position", "encode", "process", "decode"))
        again = steps if name.startswith("process") else 1
        macs += size * again * (keypoints if at_nodes else 1)
    step, update = flops.agent_flops(config, keypoints, 32, 6)
    assert step == 2 * macs
    assert update == 16 * (11 + 11 + 2 * 8) * step


def test_the_convolutional_agent_by_its_kernels():
    """Features of 42 x 42: kernels meet 42 x 42 places twice, then 21 x 21."""
    encoder = EncoderConfig(encoder="cnn", cnn_filters=(4, 4, 8, 8), cnn_units=16)
    config = AgentConfig(encoder=encoder)
    network = build_q_network(config, 5, num_actions=6)
    network(np.zeros([1, 42, 42, 32], np.float32), network.initial_state(1))
    kernels = [v for name, v in network.named_weights.items() if name.endswith("kernel")]
    convs = [k for k in kernels if len(k.shape) == 4]
    dense = sum(int(np.prod(k.shape)) for k in kernels if len(k.shape) == 2)
    macs = [
        n * int(np.prod(k.shape)) for n, k in zip([42**2, 42**2, 21**2, 21**2], convs, strict=True)
    ]
    seeing, features = flops.agent_features(paper_config(), 84, 3)
    # 4 x 4 of 3 to 32 filters at 84 x 84, then 3 x 3 of 32 to 64 at 42 x 42: the LSPNs' layers.
    assert seeing == 2 * (84**2 * 16 * 3 * 32 + 42**2 * 9 * 32 * 64) and features == (42, 64)
    step, update = flops.convolutional_agent_flops(config, seeing, (42, 32), 6)
    assert step == 2 * (sum(macs) + dense)
    # Target and online network forward, the latter back: to weights, and to inputs but the first's.
    assert update == 16 * 11 * (seeing + step + 3 * step - 2 * macs[0])
