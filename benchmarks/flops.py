"""Useful multiply-accumulates of the keypoint methods, layer by layer, from the shapes alone.

Counted is what the mathematics needs: one multiply-accumulate (MAC, two floating-point operations)
per weight and output position. Not counted: what has no weights (normalisation, activations,
soft-argmax, windows, losses, all of pursuit), optimizers, the zero centre of the neighbourhood
convolution (1/8 of its multiplications), and anything computed twice. With extractor=pursuit only
the VAE and the LSPN are counted. A training step needs each layer forward, once for the gradient of
its weights, and once for the gradient of its inputs; the last is not needed where the input carries
no gradient: the frames, the LSPN's features and PointNet's maps. Transporter's first frame only
goes forward. With lsp_sample below 1 the LSPN's products are that share, and where PointNet needs
the error maps, one forward product of all patches more.
"""

from typing import NamedTuple

from permakey_tf.configs.agent import AgentConfig, EncoderConfig
from permakey_tf.configs.keypoints import KeypointConfig, Stack


class LayerCost(NamedTuple):
    """macs: per frame, forward; products: matrix products of a training step, per example (a frame
    or a pair of frames); inference: whether finding keypoints needs the layer."""

    name: str
    formula: str
    macs: int
    products: float
    inference: bool


def layer_costs(config: KeypointConfig, image_size: int, channels: int) -> list[LayerCost]:
    """All layers with weights, in the order of the computation."""
    methods = {"permakey": _permakey, "transporter": _transporter}
    return methods[config.method](config, image_size, channels)


def _permakey(config, image_size, channels):
    vae, lspn, maps = config.vae, config.lspn, len(config.lspn.lsp_layers)
    deepest = max(lspn.lsp_layers)
    sides, encoder = _stack("vae/encoder", vae.stack, image_size, channels)
    costs = [
        cost._replace(inference=layer <= deepest) for layer, cost in enumerate(encoder)
    ] + _autoencoder_rest(config, sides[-1], channels)
    for layer in lspn.lsp_layers:
        costs += _lspn(config, layer, sides[layer])
    if config.extractor == "pointnet":
        costs += _keypointer(config, "pointnet", config.pointnet.stack, image_size, maps)
    return costs


def _transporter(config, image_size, channels):
    settings = config.transporter
    if settings.refine_net != "transpose":
        raise ValueError("counted for --refine_net=transpose only")
    sides, extractor = _stack("extractor", settings.stack, image_size, channels)
    extractor = [cost._replace(inference=False) for cost in extractor]
    keypointer = _keypointer(config, "keypointer", settings.stack, image_size, channels)
    both = [cost._replace(products=cost.products + 1) for cost in extractor + keypointer]
    return both + _mirrored("refine_net", settings.stack, sides[-1], channels)


def _conv(name, side, kernel, inputs, outputs, products=3, inference=True):
    formula = f"{side}^2 * {kernel}^2 * {inputs} * {outputs}"
    return LayerCost(name, formula, side**2 * kernel**2 * inputs * outputs, products, inference)


def _stack(name, stack: Stack, side, inputs):
    sides, costs = [], []
    for layer, (filters, kernel, stride) in enumerate(zip(*stack, strict=True)):
        side //= stride
        sides.append(side)
        products = 2 if layer == 0 else 3
        costs.append(_conv(f"{name}/block_{layer}", side, kernel, inputs, filters, products))
        inputs = filters
    return sides, costs


def _keypointer(config, name, stack, side, inputs):
    inputs += 2 * config.pointnet.pointnet_coordinates
    sides, encoder = _stack(f"{name}/encoder", stack, side, inputs)
    number = config.pointnet.num_keypoints
    return [*encoder, _conv(f"{name}/regressor", sides[-1], 1, stack.filters[-1], number)]


def _mirrored(name, stack: Stack, side, channels):
    costs = []
    for layer in reversed(range(len(stack.filters))):
        side *= stack.strides[layer]
        outputs = stack.filters[layer - 1] if layer else channels
        kernel, inputs = stack.kernel_sizes[layer], stack.filters[layer]
        costs.append(_conv(f"{name}/block_{layer}", side, kernel, inputs, outputs, inference=False))
    return costs


def _autoencoder_rest(config, side, channels):
    vae = config.vae
    if vae.decoder != "transpose":
        raise ValueError("counted for --decoder=transpose only")
    features = side**2 * vae.vae_filters[-1]

    def dense(name, inputs, outputs):
        return LayerCost(name, f"{inputs} * {outputs}", inputs * outputs, 3, False)

    return [
        dense("vae/posterior", features, 2 * vae.latent_dim),
        dense("vae/decoder/dense", vae.latent_dim, features),
        *_mirrored("vae/decoder", vae.stack, side, channels),
    ]


def _lspn(config, layer, side):
    lspn, channels = config.lspn, config.vae.vae_filters[layer]
    patch = lspn.patch_size**2 * channels
    positions = -(-side // lspn.patch_size)
    hidden = list(lspn.lsp_hidden_sizes)
    if lspn.lsp_depth == "4-layer":
        hidden.insert(0, 8 * patch)
    sizes = [8 * patch, *hidden, patch]
    share, maps = lspn.lsp_sample, lspn.lsp_sample < 1 and config.extractor == "pointnet"
    products = [share * (3 if i else 2) + maps for i in range(len(sizes) - 1)]
    return [
        _conv(f"lspn/layer_{layer}/dense_{i}", positions, 1, sizes[i], sizes[i + 1], count)
        for i, count in enumerate(products)
    ]


def inference_flops(costs: list[LayerCost]) -> int:
    """Floating-point operations to find the keypoints of one frame."""
    return sum(2 * cost.macs for cost in costs if cost.inference)


def training_flops(costs: list[LayerCost]) -> float:
    """Floating-point operations of a training step, per example."""
    return sum(2 * cost.macs * cost.products for cost in costs)


def encoder_macs(config: EncoderConfig, num_keypoints: int, features: int) -> int:
    """Multiplications of the graph encoder per frame, forward, as `GraphEncoder.decode` computes
    it: the first layer of the edges' model works on nodes."""
    nodes, pairs = num_keypoints, num_keypoints**2
    positions, units, decoded = config.position_units, config.gnn_units, config.gnn_decode_units
    outputs, steps = config.gnn_output_units, config.message_passing_steps
    hidden = config.position_hidden_units or positions
    embedding = 2 * hidden + hidden * positions
    encode = (features + positions) * units + units**2
    process = nodes * (2 * units**2 + 3 * units**2) + pairs * units**2
    later = (steps - 1) * pairs * units**2  # edges that differ are multiplied too
    decode = units * decoded + decoded**2
    over_all = nodes * decoded * outputs + outputs**2
    return nodes * (embedding + encode + decode) + steps * process + later + over_all


def agent_features(
    config: KeypointConfig, image_size: int, channels: int
) -> tuple[int, tuple[int, int]]:
    """What a convolutional agent reads: operations of a frame's features; their side, channels."""
    if config.method == "transporter":
        stack = config.transporter.stack
        layer = len(stack.filters) - 1
    else:
        stack, chosen = config.vae.stack, config.vae.feature_layer
        layer = max(config.lspn.lsp_layers) if chosen is None else chosen
    sides, costs = _stack("encoder", stack, image_size, channels)
    seeing = sum(2 * cost.macs for cost in costs[: layer + 1])
    return seeing, (sides[layer], stack.filters[layer])


def convolutional_agent_flops(
    config: AgentConfig, seeing: int, features: tuple[int, int], num_actions: int
):
    """As `agent_flops`, with a convolutional encoder of features, see `agent_features`.

    Those of the batch's frames, `seeing` operations each, are computed again in an update, since
    the replay has frames. Its normalisation mixes frames, so all of them are gone back through; to
    the features no gradient goes.
    """
    learning, encoder = config.learning, config.encoder
    sides, costs = _stack("cnn", encoder.stack, *features)
    units, codes = learning.lstm_units, encoder.cnn_units
    flat = sides[-1] ** 2 * encoder.cnn_filters[-1]
    rest = flat * codes + (codes + units) * 4 * units + units * num_actions
    step = 2 * (sum(cost.macs for cost in costs) + rest)
    both = step + training_flops(costs) + 2 * 3 * rest
    frames = learning.batch_size * (learning.window + learning.n_step)
    return step, frames * (seeing + both)


def agent_flops(config: AgentConfig, num_keypoints: int, features: int, num_actions: int):
    """Floating-point operations of the networks: (of a step, of an update), with a graph encoder.

    An update takes both networks forward over window + n steps, and the online one back over the
    window: two products more for each layer there.
    """
    learning = config.learning
    units, codes = learning.lstm_units, config.encoder.gnn_output_units
    recurrent = (codes + units) * 4 * units + units * num_actions
    step = 2 * (encoder_macs(config.encoder, num_keypoints, features) + recurrent)
    length = learning.window + learning.n_step
    update = learning.batch_size * step * (2 * length + 2 * learning.window)
    return step, update
