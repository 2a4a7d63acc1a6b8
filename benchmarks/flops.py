"""Useful multiply-accumulates of PermaKey, layer by layer, from the shapes alone.

Counted is what the mathematics needs: one multiply-accumulate (MAC, two floating-point operations)
per weight and output position. Not counted: normalisation, activations, soft-argmax, windows,
losses, optimizers, the zero centre of the neighbourhood convolution (1/8 of its multiplications),
and anything computed twice. A training step needs each layer forward, once for the gradient of its
weights, and once for the gradient of its inputs; the last is not needed where the input carries no
gradient: the frames, the LSPN's features and PointNet's maps.
"""

from typing import NamedTuple

from permakey_tf.configs import KeypointConfig


class LayerCost(NamedTuple):
    """macs: per frame, forward; products: matrix products of a training step (2 or 3);
    inference: whether finding keypoints needs the layer."""

    name: str
    formula: str
    macs: int
    products: int
    inference: bool


def permakey_costs(config: KeypointConfig, image_size: int, channels: int) -> list[LayerCost]:
    """All layers with weights, in the order of the computation."""
    vae, lspn, pointnet = config.vae, config.lspn, config.pointnet
    deepest = max(lspn.lsp_layers)
    sides, encoder = _stack("vae/encoder", vae, "vae", image_size, channels)
    costs = [
        cost._replace(inference=layer <= deepest) for layer, cost in enumerate(encoder)
    ] + _autoencoder_rest(config, image_size, channels, sides[-1])
    for layer in lspn.lsp_layers:
        costs += _lspn(lspn, layer, sides[layer], vae.vae_filters[layer])
    sides, encoder = _stack(
        "pointnet/encoder", pointnet, "pointnet", image_size, len(lspn.lsp_layers)
    )
    filters = pointnet.pointnet_filters[-1]
    return [
        *costs,
        *encoder,
        _conv("pointnet/regressor", sides[-1], 1, filters, pointnet.num_keypoints),
    ]


def _conv(name, side, kernel, inputs, outputs, products=3, inference=True):
    formula = f"{side}^2 * {kernel}^2 * {inputs} * {outputs}"
    return LayerCost(name, formula, side**2 * kernel**2 * inputs * outputs, products, inference)


def _stack(name, config, prefix, side, inputs):
    settings = (getattr(config, f"{prefix}_{x}") for x in ("filters", "kernel_sizes", "strides"))
    sides, costs = [], []
    for layer, (filters, kernel, stride) in enumerate(zip(*settings, strict=True)):
        side //= stride
        sides.append(side)
        products = 2 if layer == 0 else 3
        costs.append(_conv(f"{name}/block_{layer}", side, kernel, inputs, filters, products))
        inputs = filters
    return sides, costs


def _autoencoder_rest(config, image_size, channels, side):
    vae = config.vae
    if vae.decoder != "transpose":
        raise ValueError("counted for --decoder=transpose only")
    filters, features = vae.vae_filters, side**2 * vae.vae_filters[-1]

    def dense(name, inputs, outputs):
        return LayerCost(name, f"{inputs} * {outputs}", inputs * outputs, 3, False)

    costs = [
        dense("vae/posterior", features, 2 * vae.latent_dim),
        dense("vae/decoder/dense", vae.latent_dim, features),
    ]
    for layer in reversed(range(len(filters))):
        side *= vae.vae_strides[layer]
        outputs = filters[layer - 1] if layer else channels
        kernel, name = vae.vae_kernel_sizes[layer], f"vae/decoder/block_{layer}"
        costs.append(_conv(name, side, kernel, filters[layer], outputs, inference=False))
    return costs


def _lspn(config, layer, side, channels):
    patch = config.patch_size**2 * channels
    positions = -(-side // config.patch_size)
    hidden = list(config.lsp_hidden_sizes)
    if config.lsp_depth == "4-layer":
        hidden.insert(0, 8 * patch)
    sizes = [8 * patch, *hidden, patch]
    return [
        _conv(f"lspn/layer_{layer}/dense_{i}", positions, 1, sizes[i], sizes[i + 1], 3 if i else 2)
        for i in range(len(sizes) - 1)
    ]


def inference_flops(costs: list[LayerCost]) -> int:
    """Floating-point operations to find the keypoints of one frame."""
    return sum(2 * cost.macs for cost in costs if cost.inference)


def training_flops(costs: list[LayerCost]) -> int:
    """Floating-point operations of a training step, per frame."""
    return sum(2 * cost.macs * cost.products for cost in costs)
