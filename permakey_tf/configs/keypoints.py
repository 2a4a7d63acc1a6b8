"""Every setting of keypoints and their training, once; see base.py."""

import dataclasses
import itertools
import types
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from permakey_tf.configs.base import MAX_SEED, Config, setting
from permakey_tf.configs.frames import (
    MAX_SIDE,
    MAX_STEPS,
    PAPER_NUM_KEYPOINTS,
    canonical_game,
    did_you_mean,
)
from permakey_tf.errors import UserError, expect


class Method(NamedTuple):
    """What is known of a keypoint method; its class is in models/build.py.

    title: the papers' spelling.
    training: settings that hold where the user gives none.
    """

    title: str
    training: dict[str, Any]


# What the paper sets differently for the two is of ICLR app. A.2.1 and A.2.2.
METHODS = types.MappingProxyType(
    {
        "permakey": Method(
            "PermaKey",
            {"batch_size": 32, "decay_rate": 0.85, "decay_steps": 10_000, "patience": 10},
        ),
        "transporter": Method(
            "Transporter",
            {"batch_size": 64, "decay_rate": 0.9, "decay_steps": 30_000, "patience": 5},
        ),
    }
)
EXTRACTORS = ("pointnet", "pursuit")  # of keypoints from error maps
NOISES = ("none", "vertical", "horizontal", "both")  # bars on the frames, see data/noise.py

_OF_FRAMES = ("image_size", "channels", "keep_aspect", "split")

MAX_UNITS = 4096  # of a layer
MIN_BATCH, MAX_BATCH = 2, 8192
_MAX_WEIGHTS = 2**30  # of a network: 16 GB with gradients and Adam's moments


def _by_method(name: str) -> str:
    """A setting's values where the user gives none, such as "32 (permakey), 64 (transporter)"."""
    return ", ".join(f"{of.training[name]:,} ({method})" for method, of in METHODS.items())


# ------------------------------------------------------------------------------------ keypoints


class Stack(NamedTuple):
    """Sizes of a convolution stack, one entry per block: filters, kernel sizes, strides."""

    filters: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    strides: tuple[int, ...]

    def stride(self, layer: int = -1) -> int:
        """Frame pixels per feature of one layer's output; -1 is the last layer."""
        return 2 ** self.strides[: layer % len(self.strides) + 1].count(2)


@dataclasses.dataclass(frozen=True)
class VAEConfig(Config):
    """The variational auto-encoder whose features feed the LSPN (ICLR eq. 1, app. A.2.1)."""

    only = ("method", "permakey")

    vae_filters: tuple[int, ...] = setting(
        (32, 64, 64, 128),
        "Filters of the encoder's convolutions.",
        origin="paper",
        low=1,
        high=MAX_UNITS,
    )
    vae_kernel_sizes: tuple[int, ...] = setting(
        (4, 3, 3, 3),
        "Kernel sizes of the encoder's convolutions.",
        origin="paper",
        unit="pixels",
        low=1,
        high=MAX_SIDE,
    )
    vae_strides: tuple[int, ...] = setting(
        (1, 2, 2, 1), "Strides of the encoder's convolutions.", origin="paper", choices=(1, 2)
    )
    latent_dim: int = setting(
        32, "Dimensions of the latent code.", origin="code", low=1, high=MAX_UNITS
    )
    likelihood_variance: float = setting(
        0.1, "Variance of the Gaussian likelihood of a pixel.", origin="code", above=0
    )
    elbo: str = setting(
        "sum",
        "How the likelihood is reduced over the pixels of a frame: sum is eq. 1; mean, the "
        "authors' code, weighs the KL term by the number of pixel values instead of 1.",
        origin="paper",
        choices=("sum", "mean"),
    )
    decoder: str = setting(
        "transpose",
        "Decoder: transpose mirrors the encoder with bilinear up-sampling (paper); code is the "
        "architecture of the authors' code, with nearest-neighbour up-sampling.",
        origin="paper",
        choices=("transpose", "code"),
    )
    feature_layer: int | None = setting(
        None,
        "Encoder layer whose features an agent sees under the keypoints; unset: the deepest of "
        "--lsp_layers.",
        origin="paper",
        low=0,
        high=100,
        added=True,
    )
    vae_learning_rate: float | None = setting(
        None, "Adam's learning rate for the VAE; unset: --learning_rate.", origin="ours", above=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stack(self, "vae")

    @property
    def stack(self) -> Stack:
        """The encoder's convolutions."""
        return Stack(self.vae_filters, self.vae_kernel_sizes, self.vae_strides)


@dataclasses.dataclass(frozen=True)
class LSPNConfig(Config):
    """The local spatial prediction networks, one per chosen encoder layer (ICLR eq. 2)."""

    only = ("method", "permakey")

    lsp_layers: tuple[int, ...] = setting(
        (0, 1),
        "Encoder layers whose features are predicted; 0 is the first block's output.",
        origin="paper",
        low=0,
        high=100,
    )
    patch_size: int = setting(
        2,
        "Side p of the predicted feature patches.",
        origin="paper",
        unit="features",
        low=1,
        high=MAX_SIDE,
    )
    lsp_hidden_sizes: tuple[int, ...] = setting(
        (512, 256), "Units of the hidden layers.", origin="paper", low=1, high=MAX_UNITS
    )
    lsp_depth: str = setting(
        "3-layer",
        "How the paper's sizes are read: 3-layer has the hidden layers of --lsp_hidden_sizes; "
        "4-layer, the authors' code, puts one more in front, as wide as the input.",
        origin="paper",
        choices=("3-layer", "4-layer"),
    )
    lsp_error: str = setting(
        "relative",
        "Error map: relative divides each patch's squared error by the mean of its true features "
        "(plus 1e-3); none leaves it as it is.",
        origin="code",
        choices=("relative", "none"),
    )
    lsp_sample: float = setting(
        1.0,
        "Share of the patches of each frame, drawn at random, that the LSPN is trained on in a "
        "step; validation and keypoints see all. Eq. 2 is a mean over patches, of which a part is "
        "an unbiased estimate, and the LSPN is most of a step's cost.",
        origin="ours",
        above=0,
        high=1,
        added=True,
    )
    lsp_learning_rate: float | None = setting(
        None, "Adam's learning rate for the LSPN; unset: --learning_rate.", origin="ours", above=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.lsp_layers)) != len(self.lsp_layers):
            raise UserError("lsp_layers must not name a layer twice", ["lsp_layers"])

    def num_weights(self, channels: int) -> int:
        """Of the kernels of the network of a layer with so many channels."""
        values = self.patch_size**2 * channels
        units = [8 * values, *[8 * values] * (self.lsp_depth == "4-layer")]
        units += [*self.lsp_hidden_sizes, values]
        return sum(given * made for given, made in itertools.pairwise(units))


@dataclasses.dataclass(frozen=True)
class PointNetConfig(Config):
    """The keypoint bottleneck (ICLR eq. 3; Jakab et al. 2018).

    Both methods use the number of keypoints, the windows' width, the coordinates and the form of
    the soft-argmax; the sizes of the convolutions and the reconstruction of maps are PermaKey's.
    With extractor=pursuit the number and the width are all that is used.
    """

    num_keypoints: int | None = setting(
        None,
        "Keypoints K; unset: the paper's number for the game.",
        origin="paper",
        low=1,
        high=200,
    )
    gauss_std: float = setting(
        0.1,
        "Width s of a keypoint's window exp(-d^2 / s^2), d in coordinates from -1 to 1.",
        origin="paper",
        unit="half frame sides",
        above=0,
    )
    pointnet_filters: tuple[int, ...] = setting(
        (32, 64, 64, 128),
        "Filters of PointNet's convolutions.",
        origin="paper",
        low=1,
        high=MAX_UNITS,
        only=("extractor", "pointnet"),
    )
    pointnet_kernel_sizes: tuple[int, ...] = setting(
        (4, 3, 3, 3),
        "Kernel sizes of PointNet's convolutions.",
        origin="paper",
        unit="pixels",
        low=1,
        high=MAX_SIDE,
        only=("extractor", "pointnet"),
    )
    pointnet_strides: tuple[int, ...] = setting(
        (1, 2, 2, 1),
        "Strides of PointNet's convolutions.",
        origin="paper",
        choices=(1, 2),
        only=("extractor", "pointnet"),
    )
    pointnet_coordinates: bool = setting(
        False,
        "PointNet also sees the coordinates of every pixel, as two more channels (CoordConv). "
        "Convolutions alone cannot give objects that look the same to different keypoints.",
        origin="ours",
        only=("extractor", "pointnet"),
        or_only=("method", "transporter"),
    )
    soft_argmax: str = setting(
        "marginal",
        "How a map becomes a centre: marginal averages the logits over one axis before the softmax "
        "over the other (paper); joint takes one softmax over the whole map.",
        origin="paper",
        choices=("marginal", "joint"),
        only=("extractor", "pointnet"),
        or_only=("method", "transporter"),
    )
    logit_scale: float = setting(
        1.0,
        "Factor on the logits before the softmax.",
        origin="paper",
        above=0,
        only=("extractor", "pointnet"),
        or_only=("method", "transporter"),
    )
    window_join: str = setting(
        "sum",
        "How the K windows are joined to reconstruct an error map: sum (paper), or union, "
        "1 - prod(1 - w_k).",
        origin="paper",
        choices=("sum", "union"),
        only=("extractor", "pointnet"),
    )
    overlap_weight: float = setting(
        0.0,
        "Weight of the penalty mean(sum of windows - union), which keeps keypoints apart.",
        origin="ours",
        low=0,
        only=("extractor", "pointnet"),
    )
    window_margin: float = setting(
        0.0,
        "How far beyond the frame the windows are compared with the error maps, which are zero "
        "there. With 0 what a window has outside of the frame is free, and keypoints that find "
        "nothing gather at its edge.",
        origin="ours",
        unit="half frame sides",
        low=0,
        high=1,
        only=("extractor", "pointnet"),
    )
    pointnet_learning_rate: float | None = setting(
        None,
        "Adam's learning rate for PointNet; unset: --learning_rate.",
        origin="ours",
        above=0,
        only=("extractor", "pointnet"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stack(self, "pointnet")

    @property
    def stack(self) -> Stack:
        """The convolutions over the error maps."""
        return Stack(self.pointnet_filters, self.pointnet_kernel_sizes, self.pointnet_strides)


@dataclasses.dataclass(frozen=True)
class PursuitConfig(Config):
    """Keypoints by greedy pursuit of eq. 3, see ops/pursuit.py; nothing of it is trained."""

    only = ("extractor", "pursuit")

    pursuit_background: str = setting(
        "median",
        "What is subtracted from the error maps first: median, of 512 training frames, for each "
        "place, so that what always stands there takes no keypoint; or none.",
        origin="ours",
        choices=("median", "none"),
        added=True,
    )
    pursuit_border: float = setting(
        0.25,
        "Factor on the map's outermost cells: the encoder sees zeros beyond the frame, which few "
        "patches have beside them, so that their errors say less. 1 leaves them as they are.",
        origin="ours",
        low=0,
        high=1,
        before=1.0,
    )
    pursuit_lines: str = setting(
        "median",
        "What is subtracted from the map last: median, for each cell that of its row or of its "
        "column, whichever is higher, so that what crosses the whole frame, such as a bar, takes "
        "no keypoint; or none.",
        origin="ours",
        choices=("median", "none"),
        before="none",
    )
    pursuit_radius: float = setting(
        0.15,
        "A keypoint's place is the mean over the cells within this distance of its highest one.",
        origin="ours",
        unit="half frame sides",
        above=0,
        high=3,
        before=0.2,
    )
    pursuit_sharpness: float = setting(
        15.0,
        "Factor on the residual map before the softmax that weighs these cells.",
        origin="ours",
        low=0,
        high=1e6,  # beyond, rounding decides
        before=30.0,
    )


@dataclasses.dataclass(frozen=True)
class TransporterConfig(Config):
    """The baseline: Transporter (Kulkarni et al. 2019; ICLR app. A.2.2)."""

    only = ("method", "transporter")

    transporter_filters: tuple[int, ...] = setting(
        (16, 16, 32, 32),
        "Transporter: filters of the convolutions of feature extractor and keypointer.",
        origin="paper",
        low=1,
        high=MAX_UNITS,
    )
    transporter_kernel_sizes: tuple[int, ...] = setting(
        (3, 3, 3, 3),
        "Transporter: kernel sizes of both networks.",
        origin="paper",
        unit="pixels",
        low=1,
        high=MAX_SIDE,
    )
    transporter_strides: tuple[int, ...] = setting(
        (1, 1, 2, 1), "Transporter: strides of both networks.", origin="paper", choices=(1, 2)
    )
    refine_net: str = setting(
        "transpose",
        "Transporter: network that turns features into a frame; transpose mirrors the feature "
        "extractor (paper), code has the wider convolutions of the authors' code and their last "
        "batch normalisation. Both up-sample bilinearly.",
        origin="paper",
        choices=("transpose", "code"),
    )
    pair_window: int = setting(
        100,
        "Transporter: the two frames of a pair come from the first and the second half of a random "
        "window of so many frames; a shorter episode is a window of its own.",
        origin="code",
        unit="frames",
        low=2,
        high=MAX_STEPS,
    )
    pairs_per_epoch: int = setting(
        100_000,
        "Transporter: training pairs in an epoch.",
        origin="code",
        unit="pairs",
        low=1,
        high=MAX_STEPS,
    )
    transporter_learning_rate: float | None = setting(
        None,
        "Adam's learning rate for Transporter; unset: --learning_rate.",
        origin="ours",
        above=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stack(self, "transporter")

    @property
    def stack(self) -> Stack:
        """The convolutions of both encoders."""
        return Stack(
            self.transporter_filters, self.transporter_kernel_sizes, self.transporter_strides
        )


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Config):
    """Optimisation, noise, precision and book-keeping of a keypoint run."""

    seed: int = setting(
        0,
        "Seed of the weights, of the order of frames or pairs, of noise and latents.",
        origin="ours",
        low=0,
        high=MAX_SEED,
    )
    learning_rate: float = setting(
        2e-4, "Adam's initial learning rate, all modules.", origin="paper", above=0
    )
    schedule: str = setting(
        "staircase",
        "Learning rate: staircase divides it by 1 + decay_rate * floor(step / decay_steps); cosine "
        "falls to 0 at the last step.",
        origin="code",
        choices=("staircase", "cosine"),
    )
    decay_rate: float | None = setting(
        None,
        f"Decay of the staircase; unset: {_by_method('decay_rate')}.",
        origin="paper",
        low=0,
        only=("schedule", "staircase"),
    )
    decay_steps: int | None = setting(
        None,
        f"Width of a stair; unset: {_by_method('decay_steps')}.",
        origin="paper",
        unit="training steps",
        low=1,
        high=MAX_STEPS,
        only=("schedule", "staircase"),
    )
    batch_size: int | None = setting(
        None,
        "Frames (permakey) or pairs of frames (transporter) per step; unset: "
        f"{_by_method('batch_size')}.",
        origin="paper",
        unit="frames or pairs",
        low=MIN_BATCH,
        high=MAX_BATCH,
    )
    epochs: int = setting(
        100,
        "Passes over the training split (permakey) or over --pairs_per_epoch pairs "
        "(transporter), at most.",
        origin="paper",
        low=1,
        high=MAX_STEPS,
    )
    max_steps: int | None = setting(
        None,
        "Ends training after this many steps.",
        origin="ours",
        unit="training steps",
        low=1,
        high=MAX_STEPS,
    )
    patience: int | None = setting(
        None,
        "Ends training after this many validations without a better one; unset: "
        f"{_by_method('patience')}.",
        origin="paper",
        low=1,
        high=MAX_STEPS,
    )
    validate_every: int | None = setting(
        None,
        "Steps between validations; unset: once an epoch.",
        origin="paper",
        unit="training steps",
        low=1,
        high=MAX_STEPS,
    )
    selection: str | None = setting(
        None,
        "What is least at the validation whose weights are kept: loss, the LSPN's and PointNet's "
        "(paper), or unexplained, the share of the features' variance that the LSPN leaves, in its "
        "place: while the VAE learns, features grow, and errors with them. Unset: loss with "
        "pointnet, unexplained with pursuit.",
        origin="ours",
        choices=("loss", "unexplained"),
        before="loss",
        only=("method", "permakey"),
    )
    batch_norm_momentum: float = setting(
        0.99, "Momentum of the moving statistics.", origin="code", low=0, below=1
    )
    shuffle: str = setting(
        "full",
        "Order of the frames in an epoch: full is any order; blocks reads 64 neighbours at once "
        "and mixes them with 8,192 others, for disks that are slow at random places.",
        origin="ours",
        choices=("full", "blocks"),
        added=True,
        only=("method", "permakey"),
    )
    noise: str = setting(
        "none",
        "Moving coloured bars drawn on every frame: vertical, horizontal or both.",
        origin="paper",
        choices=NOISES,
    )
    precision: str = setting(
        "float32",
        "bfloat16 computes convolutions and dense layers in bfloat16 and keeps weights, losses and "
        "coordinates in float32. It is faster only on a processor with AMX_BF16 or AVX512_BF16, "
        "and on a GPU (untested); a run says so at its start.",
        origin="ours",
        choices=("float32", "bfloat16"),
    )


@dataclasses.dataclass(frozen=True)
class LoggingConfig(Config):
    """How often a run reports and saves. Changes nothing in the weights, so a run may be resumed
    with other values."""

    summary_every: int = setting(
        100,
        "Steps between rows of metrics.csv and TensorBoard.",
        origin="ours",
        low=1,
        high=MAX_STEPS,
    )
    checkpoint_every: int = setting(
        500,
        "Steps between checkpoints; one is also written at every validation.",
        origin="ours",
        unit="training steps",
        low=1,
        high=MAX_STEPS,
    )


@dataclasses.dataclass(frozen=True)
class DistributionConfig(Config):
    """What computes a run. Changes no more in the weights than the order of sums does, so a run may
    be resumed with another value, and on another number of devices."""

    distribute: str = setting(
        "none",
        "Devices that share each batch: none, one; mirrored, all of this machine; multiworker, all "
        "of several machines, by TF_CONFIG or a Slurm step: start the same command on each.",
        origin="ours",
        choices=("none", "mirrored", "multiworker"),
    )


@dataclasses.dataclass(frozen=True)
class KeypointConfig(Config):
    """A keypoint training run. What belongs to the frames (game, size) is in the frame store."""

    method: str = setting(
        "permakey",
        "Keypoint method: permakey, or the baseline transporter.",
        origin="paper",
        choices=tuple(METHODS),
    )
    extractor: str = setting(
        "pointnet",
        "How keypoints are taken from the error maps: by pointnet, a network that is trained "
        "(paper), or by pursuit, which solves eq. 3 frame by frame, greedily, with no training.",
        origin="paper",
        choices=EXTRACTORS,
        added=True,
        only=("method", "permakey"),
    )
    vae: VAEConfig = dataclasses.field(default_factory=VAEConfig)
    lspn: LSPNConfig = dataclasses.field(default_factory=LSPNConfig)
    pointnet: PointNetConfig = dataclasses.field(default_factory=PointNetConfig)
    pursuit: PursuitConfig = dataclasses.field(default_factory=PursuitConfig)
    transporter: TransporterConfig = dataclasses.field(default_factory=TransporterConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    @classmethod
    def make(
        cls, preset: str | None = "quick", game: str | None = None, **settings: Any
    ) -> "KeypointConfig":
        """Settings by flat names, on top of a preset; the README's ten lines have an example.

        Args:
          preset: "quick" trains in minutes; "paper", "workshop", "authors_code" and others in days
            (flags/presets). None: the defaults, which are the paper's.
          game: fills in what depends on it, such as the paper's number of keypoints. Without one
            it stays unset, and `train` fills it in for the game of the frames.
          settings: as in `flatten(config)`, such as `num_keypoints=5, learning_rate=1e-3`.

        Raises:
          UserError: an unknown preset or setting (the nearest is named), a wrong value, or a game
            without a number of keypoints.
        """
        if game is not None:
            expect(str, game, "game", "a name such as mspacman; num_keypoints=5 says K")
        config = super().make(preset, **settings)
        return config if game is None else resolve(config, game)

    @classmethod
    def _check_names(cls, names: Iterable[str], known: Collection[str]) -> None:
        for name in names:
            if name in _OF_FRAMES:
                raise UserError(f"{name} is a setting of the frames: FrameStore.from_arrays has it")
        super()._check_names(names, known)

    def __post_init__(self) -> None:
        super().__post_init__()
        last = len(self.vae.vae_filters) - 1
        if max(self.lspn.lsp_layers) > last:
            raise UserError(
                f"lsp_layers={','.join(map(str, self.lspn.lsp_layers))}: the encoder has layers "
                f"0 to {last}",
                ["lsp_layers"],
            )
        if (self.vae.feature_layer or 0) > last:
            raise UserError(
                f"feature_layer={self.vae.feature_layer}: the encoder has layers 0 to {last}",
                ["feature_layer"],
            )


def check_stack(config: Config, prefix: str) -> None:
    """A convolution stack needs one filter count, kernel size and stride per layer."""
    names = [f"{prefix}_{part}" for part in ("filters", "kernel_sizes", "strides")]
    parts = [getattr(config, name) for name in names]
    if len({len(part) for part in parts}) != 1:
        raise UserError(
            f"{names[0]}, {names[1]} and {names[2]} must be equally long, one value a layer: they "
            f"have {', '.join(str(len(part)) for part in parts)}",
            names,
        )
    if sum(stride == 2 for stride in parts[2]) > 2:
        raise UserError(
            f"{prefix}_strides: at most two strides of 2, frames are divisible by 4",
            [f"{prefix}_strides"],
        )


def check_kernels(config: Any, prefix: str, image_size: int) -> None:
    """Refuses a stack of convolutions whose sizes can only be a slip.

    Both limits are rough. A kernel that is larger than the frame sees zeros beside it everywhere.
    None of its weights is blind yet: with zeros around the frame (SAME) that begins at twice the
    side of the map that a layer reads, which in deeper layers is smaller.

    Args:
      config: with `{prefix}_kernel_sizes` and `{prefix}_filters`, as checked by `check_stack`.
      prefix: of these settings.
      image_size: side of the frames, pixels.

    Raises:
      UserError: a kernel is larger than the frame, or the stack has too many weights.
    """
    sizes = getattr(config, f"{prefix}_kernel_sizes")
    if max(sizes) > image_size:
        raise UserError(
            f"{prefix}_kernel_sizes={','.join(map(str, sizes))}: frames have {image_size} pixels "
            "a side, and no kernel may be larger",
            [f"{prefix}_kernel_sizes"],
        )
    filters = config.stack.filters
    pairs = zip((3, *filters), filters, sizes, strict=False)
    weights = sum(given * made * size**2 for given, made, size in pairs)
    _check_weights(weights, f"{prefix}_filters", f"{prefix}_kernel_sizes")


def check_batch(
    config: KeypointConfig,
    num_frames: int,
    place: object,
    more: str = "take more frames",
    *names: str,
) -> None:
    """Raises UserError where PermaKey's first batch is larger than the training split.

    Args:
      config: resolved.
      num_frames: of the training split.
      place: of the frames.
      more: how to have more of them.
      names: of the settings that `more` speaks of.
    """
    batch_size = config.training.batch_size
    assert batch_size is not None
    if config.method == "permakey" and num_frames < batch_size:
        remedy = f"lower it, or {more}"
        if num_frames < MIN_BATCH:
            remedy = f"{more}, {MIN_BATCH} are the fewest that any batch_size can do with"
        raise UserError(
            f"{place}: {num_frames} training frames are fewer than batch_size={batch_size}: "
            f"{remedy}",
            ["batch_size", *names],
        )


def check_fit(config: KeypointConfig, image_size: int) -> None:
    """Raises UserError where a method's networks do not fit frames of `image_size` pixels a side.

    Called before frames are collected, and again where a model is made.
    """
    if config.method == "transporter":
        check_kernels(config.transporter, "transporter", image_size)
        return
    check_kernels(config.vae, "vae", image_size)
    if config.extractor == "pointnet":
        check_kernels(config.pointnet, "pointnet", image_size)
    lspn, stack = config.lspn, config.vae.stack
    for layer in lspn.lsp_layers:
        side, patch = image_size // stack.stride(layer), lspn.patch_size
        if patch >= side:
            raise UserError(
                f"patch_size={patch}: the map of encoder layer {layer} has {side} features a side "
                f"in frames of {image_size} pixels, and a patch needs neighbours: give less than "
                f"{side}",
                ["patch_size"],
            )
        weights = lspn.num_weights(stack.filters[layer])
        _check_weights(weights, "patch_size", "lsp_hidden_sizes")


def _check_weights(number: int, *names: str) -> None:
    if number > _MAX_WEIGHTS:
        raise UserError(
            f"{' and '.join(names)} make a network of {number:,} weights, the limit is "
            f"{_MAX_WEIGHTS:,}: lower them",
            names,
        )


def resolve(config: KeypointConfig, game: str) -> KeypointConfig:
    """Fills in what is unset: the paper's number of keypoints for the game and the method's
    training settings."""
    unset: dict[str, Any] = {
        name: value
        for name, value in METHODS[config.method].training.items()
        if getattr(config.training, name) is None
    }
    if config.training.selection is None:
        pursuit = config.method == "permakey" and config.extractor == "pursuit"
        unset["selection"] = "unexplained" if pursuit else "loss"
    number = config.pointnet.num_keypoints or PAPER_NUM_KEYPOINTS.get(canonical_game(game))
    if number is None:
        near = did_you_mean(game, PAPER_NUM_KEYPOINTS)
        raise UserError(
            f"num_keypoints is needed: the paper gives no number for {game!r}"
            + (f"; {near}" if near else ""),
            ["num_keypoints"],
        )
    return dataclasses.replace(
        config,
        pointnet=dataclasses.replace(config.pointnet, num_keypoints=number),
        training=dataclasses.replace(config.training, **unset),
    )
