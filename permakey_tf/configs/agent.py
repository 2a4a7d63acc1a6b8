"""Every hyper-parameter of the agent, once (ICLR section 5, app. A.2.3); see configs/base.py."""

import dataclasses

from permakey_tf.configs.base import MAX_SEED, Config, setting
from permakey_tf.configs.frames import MAX_SIDE, MAX_STEPS, GameConfig, parse_env_kwargs
from permakey_tf.configs.keypoints import (
    MAX_BATCH,
    MAX_UNITS,
    NOISES,
    KeypointConfig,
    Stack,
    check_stack,
)
from permakey_tf.errors import UserError

# The network is unrolled over a window and the steps of the returns behind it: tracing takes 0.2 s
# a step.
_MAX_UNROLLED = 128
# Weights of an LSPN with which a step takes longer than its part of an update: between the quick
# preset's 77,000 and the paper's 690,000, of which both were measured.
_LARGE_LSPN = 300_000
ENCODERS = ("cnn", "gnn")  # from keypoints to a vector
CONTROLS = ("objects", "shuffled", "constant")  # in the place of an agent's keypoints
AS_TRAINED = "as-trained"  # of the noise: the keypoint run's
FIRE_AT_START = ("frame", "code", "none")


@dataclasses.dataclass(frozen=True)
class EnvironmentConfig(GameConfig):
    """The game that the agent plays."""

    env_id: str = setting(
        "",
        "Plays this Gymnasium environment instead of an Atari game: it must render RGB and have "
        "discrete actions. Of a package, or of one's own: module:ID, such as "
        "minigrid:MiniGrid-DoorKey-8x8-v0; the module is imported first.",
        origin="ours",
    )
    env_kwargs: str = setting(
        "",
        'Arguments for the environment of --env_id, a JSON object such as {"highlight": false}; '
        "unset: those of the environment that the keypoints come from.",
        origin="ours",
        added=True,
    )
    noop_min: int = setting(
        0,
        "At least this many no-ops open a game, and at most --noop_max.",
        origin="ours",
        unit="emulator steps",
        low=0,
        high=1000,
        sources=("ale",),
        added=True,
    )
    fire_at_start: str = setting(
        "frame",
        "What follows the no-ops where the game has FIRE: frame presses it for one emulator frame; "
        "code presses it for 4 and then action 2 for 4, as the authors' code; none leaves FIRE to "
        "the agent.",
        origin="ours",
        choices=FIRE_AT_START,
        sources=("ale",),
        added=True,
    )
    fire_after_life: str = setting(
        "never",
        "When a lost life is followed, before the agent's next step, by 4 emulator frames of no-op "
        "and, where the game has FIRE, by FIRE for 4 and action 2 for 4: never; training: in "
        "training games only, as in the authors' code; always: in validation and test games, too.",
        origin="ours",
        choices=("never", "training", "always"),
        sources=("ale",),
        added=True,
    )
    noise: str = setting(
        AS_TRAINED,
        "Moving bars drawn on every frame: as-trained takes the keypoint run's.",
        origin="ours",
        choices=(AS_TRAINED, *NOISES),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if parse_env_kwargs(self.env_kwargs) and not self.env_id:
            raise UserError(
                f"env_kwargs={self.env_kwargs} does nothing without env_id",
                ["env_kwargs", "env_id"],
            )
        if self.noop_min > self.noop_max:
            raise UserError(
                f"noop_min={self.noop_min} must not exceed noop_max={self.noop_max}",
                ["noop_min", "noop_max"],
            )
        if self.env_id:
            self._refuse_without_effect(
                "gymnasium",
                f"to env_id={self.env_id}, which has its own rules: leave it at its default, "
                "or register the environment with it (env_kwargs)",
                "env_id",
                "env_kwargs",
            )

    def fires_after_life(self, training: bool) -> bool:
        """Whether FIRE follows a lost life by itself, in games of training or in others."""
        return self.fire_after_life == "always" or (training and self.fire_after_life == "training")

    def resolved(self, trained_noise: str) -> "EnvironmentConfig":
        """With the noise of the keypoint run where it is left to that."""
        noise = trained_noise if self.noise == AS_TRAINED else self.noise
        return dataclasses.replace(self, noise=noise)


@dataclasses.dataclass(frozen=True)
class EncoderConfig(Config):
    """From keypoints to a vector."""

    encoder: str = setting(
        "gnn",
        "cnn sees the features under the keypoints' windows; gnn passes messages among keypoints.",
        origin="paper",
        choices=ENCODERS,
    )
    nodes: str = setting(
        "keypoints",
        "gnn: what the graph's nodes are. objects: the game's drawn characters, where they are in "
        "truth (needs the package ocatari); shuffled: keypoints of a frame of random play, drawn "
        "anew at every step; constant: keypoints of one and the same frame.",
        origin="ours",
        choices=("keypoints", *CONTROLS),
        added=True,
        only=("encoder", "gnn"),
    )
    gauss_std: float | None = setting(
        None,
        "Width of the keypoints' windows for the agent; unset: the keypoint run's.",
        origin="paper",
        unit="half frame sides",
        above=0,
    )
    window_threshold: float = setting(
        0.2,
        "A window is what reaches this: gnn, and cnn with --cnn_mask=binary (the paper does not "
        "say how it is cut).",
        origin="code",
        low=0,
        below=1,
        only=("encoder", "gnn"),
        or_only=("cnn_mask", "binary"),
    )
    cnn_mask: str = setting(
        "soft",
        "cnn: soft multiplies the features by the sum of the windows (paper); binary by 1 where "
        "the sum reaches --window_threshold, else 0 (code).",
        origin="paper",
        choices=("soft", "binary"),
        only=("encoder", "cnn"),
    )
    cnn_filters: tuple[int, ...] = setting(
        (128, 128, 128, 128),
        "cnn: filters of the convolutions.",
        origin="paper",
        low=1,
        high=MAX_UNITS,
        only=("encoder", "cnn"),
    )
    cnn_kernel_sizes: tuple[int, ...] = setting(
        (3, 3, 3, 3),
        "cnn: kernel sizes.",
        origin="paper",
        unit="pixels",
        low=1,
        high=MAX_SIDE,
        only=("encoder", "cnn"),
    )
    cnn_strides: tuple[int, ...] = setting(
        (1, 1, 2, 1), "cnn: strides.", origin="paper", choices=(1, 2), only=("encoder", "cnn")
    )
    cnn_units: int = setting(
        128,
        "cnn: units of the dense layer.",
        origin="paper",
        low=1,
        high=MAX_UNITS,
        only=("encoder", "cnn"),
    )
    track_keypoints: bool = setting(
        False,
        "gnn: whether a keypoint keeps its index from frame to frame of a game (tracking.Tracker). "
        "The graph's output depends on their order; a cnn sees the sum of the windows, which does "
        "not.",
        origin="ours",
        added=True,
        only=("nodes", "keypoints"),
    )
    position_hidden_units: int | None = setting(
        None,
        "gnn: hidden units of the embedding of a keypoint's position; unset: as many as it has "
        "outputs.",
        origin="paper",
        low=1,
        high=MAX_UNITS,
        added=True,
        only=("encoder", "gnn"),
    )
    position_units: int = setting(
        64,
        "gnn: outputs of the embedding of a keypoint's position.",
        origin="paper",
        low=1,
        high=MAX_UNITS,
        only=("encoder", "gnn"),
    )
    gnn_units: int = setting(
        64,
        "gnn: units of both layers of the MLPs of nodes and edges that encode and process.",
        origin="paper",
        low=1,
        high=MAX_UNITS,
        only=("encoder", "gnn"),
    )
    gnn_decode_units: int = setting(
        64,
        "gnn: units of both layers of the MLP that decodes nodes.",
        origin="paper",
        low=1,
        high=MAX_UNITS,
        only=("encoder", "gnn"),
    )
    message_passing_steps: int = setting(
        1,
        "gnn: steps of message passing, each with the last one's output.",
        origin="paper",
        low=1,
        high=32,
        only=("encoder", "gnn"),
    )
    self_edges: bool = setting(
        True,
        "gnn: whether a keypoint sends messages to itself.",
        origin="code",
        only=("encoder", "gnn"),
    )
    gnn_output_units: int = setting(
        128,
        "gnn: units of both dense layers over all decoded nodes.",
        origin="paper",
        low=1,
        high=MAX_UNITS,
        only=("encoder", "gnn"),
    )

    gnn_dense_norm: str = setting(
        "none",
        "gnn: batch normalises the hidden layer of the positions' embedding and the dense layers "
        "over all decoded nodes by their batch's statistics (code).",
        origin="paper",
        choices=("none", "batch"),
        added=True,
        only=("encoder", "gnn"),
    )
    gnn_init: str = setting(
        "glorot",
        "gnn: how the weights of the graph's MLPs are drawn. glorot: uniformly, and small random "
        "biases; sonnet: from a truncated normal distribution, and biases of zero (code).",
        origin="ours",
        choices=("glorot", "sonnet"),
        added=True,
        only=("encoder", "gnn"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_stack(self, "cnn")
        if self.nodes != "keypoints" and self.encoder != "gnn":
            raise UserError(
                f"nodes={self.nodes} needs encoder=gnn: a convolutional encoder has no nodes",
                ["nodes", "encoder"],
            )

    @property
    def tracks(self) -> bool:
        """Whether a keypoint keeps its index in a game, and the encoder can tell."""
        return (self.encoder, self.nodes) == ("gnn", "keypoints") and self.track_keypoints

    @property
    def needs_objects(self) -> bool:
        """Whether the game must tell its objects."""
        return self.nodes == "objects"

    @property
    def stack(self) -> Stack:
        """The encoder's convolutions."""
        return Stack(self.cnn_filters, self.cnn_kernel_sizes, self.cnn_strides)


@dataclasses.dataclass(frozen=True)
class LearningConfig(Config):
    """Recurrent double Q-learning with n-step returns and a Polyak-averaged target."""

    seed: int = setting(
        0,
        "Seed of weights, exploration, replay, noise and games.",
        origin="ours",
        low=0,
        high=MAX_SEED,
    )
    num_steps: int = setting(
        100_000, "Training actions.", origin="paper", unit="agent steps", low=1, high=MAX_STEPS
    )
    lstm_units: int = setting(128, "Units of the LSTM.", origin="paper", low=1, high=MAX_UNITS)
    gamma: float = setting(0.99, "Discount per agent step.", origin="code", above=0, high=1)
    n_step: int = setting(
        3, "Steps of the returns.", origin="paper", unit="agent steps", low=1, high=_MAX_UNROLLED
    )
    window: int = setting(
        8,
        "Trained steps of a sequence.",
        origin="paper",
        unit="agent steps",
        low=1,
        high=_MAX_UNROLLED,
    )
    batch_size: int = setting(16, "Sequences per update.", origin="paper", low=1, high=MAX_BATCH)
    learning_rate: float = setting(2e-4, "Adam's learning rate.", origin="paper", above=0)
    adam_epsilon: float = setting(
        1e-7,
        "Adam's epsilon, added to the root of the second moment.",
        origin="ours",
        above=0,
        added=True,
    )
    clip_norm: float = setting(
        10.0, "Gradients are clipped to this global norm.", origin="paper", above=0
    )
    polyak: float = setting(
        0.005,
        "Share of the online network that enters the target network at every update.",
        origin="paper",
        above=0,
        high=1,
    )
    epsilon_start: float = setting(
        1.0, "Share of random actions at the start.", origin="paper", low=0, high=1
    )
    epsilon_end: float = setting(
        0.1, "Share of random actions at the end.", origin="paper", low=0, high=1
    )
    epsilon_steps: int | None = setting(
        None,
        "Steps over which the share falls linearly; unset: all of --num_steps. Where it is given, "
        "a finished run can be continued with more --num_steps.",
        origin="paper",
        unit="agent steps",
        low=1,
        high=MAX_STEPS,
    )
    update_every: int = setting(
        4, "Agent steps between updates.", origin="code", unit="agent steps", low=1, high=MAX_STEPS
    )
    learn_start: int = setting(
        2500,
        "Agent steps before the first update.",
        origin="ours",
        unit="agent steps",
        low=1,
        high=MAX_STEPS,
    )
    replay_capacity: int | None = setting(
        None,
        "Newest steps that are replayed; unset: everything seen.",
        origin="ours",
        unit="agent steps",
        # Of two rows one has an action: the other may be a game's final observation.
        low=2,
        high=MAX_STEPS,
    )
    life_is_episode: bool = setting(
        True,
        "Whether a lost life ends a training episode; the game itself goes on.",
        origin="code",
    )
    clip_rewards: bool = setting(
        True, "Whether training sees the sign of a reward only.", origin="code"
    )
    batch_norm_momentum: float = setting(
        0.99,
        "Momentum of the moving statistics.",
        origin="code",
        low=0,
        below=1,
        only=("encoder", "cnn"),
        or_only=("gnn_dense_norm", "batch"),
    )
    overlap: bool = setting(
        True,
        "Whether playing goes on during an update: it acts on the weights of the update before, "
        "--update_every steps old, and is as repeatable as without.",
        origin="ours",
        before=False,
    )
    jit_compile: bool = setting(
        True,
        "Whether XLA compiles the update of the graph encoder and the steps of a single game: each "
        "takes about half the time, and the start some ten seconds more.",
        origin="ours",
        before=False,
        only=("encoder", "gnn"),
    )
    precision: str = setting(
        "float32",
        "bfloat16 computes the frozen vision and the encoder's convolutions in bfloat16; weights, "
        "coordinates, Q values and losses stay in float32. It is faster only on a processor with "
        "AMX_BF16 or AVX512_BF16, and on a GPU (untested); a run says so at its start.",
        origin="ours",
        choices=("float32", "bfloat16"),
    )

    @property
    def learns(self) -> bool:
        """Whether any step of the run is followed by an update."""
        return self.num_steps - self.num_steps % self.update_every >= self.learn_start

    @property
    def exploration_steps(self) -> int:
        """Agent steps over which the share of random actions falls."""
        return self.epsilon_steps or self.num_steps

    def epsilon(self, step: int) -> float:
        """Share of random actions at an agent step, counted from 0."""
        done = min(step / self.exploration_steps, 1.0)
        return self.epsilon_start + done * (self.epsilon_end - self.epsilon_start)


@dataclasses.dataclass(frozen=True)
class ValidationConfig(Config):
    """How checkpoints are selected: greedy episodes of validation games."""

    validate_every: int = setting(
        10_000,
        "Agent steps between validations.",
        origin="paper",
        unit="agent steps",
        low=1,
        high=MAX_STEPS,
    )
    validation_episodes: int = setting(
        10, "Episodes of a validation, played side by side.", origin="paper", low=1, high=1000
    )


@dataclasses.dataclass(frozen=True)
class AgentLoggingConfig(Config):
    """How often a run reports and saves. Changes nothing in the weights."""

    summary_every: int = setting(
        500,
        "Agent steps between rows of metrics.csv and TensorBoard.",
        origin="ours",
        low=1,
        high=MAX_STEPS,
    )
    checkpoint_every: int = setting(
        2500,
        "Agent steps between checkpoints; one is also written at every validation.",
        origin="ours",
        unit="agent steps",
        low=1,
        high=MAX_STEPS,
    )


@dataclasses.dataclass(frozen=True)
class AgentConfig(Config):
    """A training run of the agent. What belongs to the keypoints is in their run's config."""

    _preset_prefix = "rl_"

    environment: EnvironmentConfig = dataclasses.field(default_factory=EnvironmentConfig)
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    learning: LearningConfig = dataclasses.field(default_factory=LearningConfig)
    validation: ValidationConfig = dataclasses.field(default_factory=ValidationConfig)

    @property
    def compiled(self) -> bool:
        """Whether XLA compiles steps and updates: convolutions are slower with it on a CPU."""
        return self.learning.jit_compile and self.encoder.encoder == "gnn"

    def graphs_at_a_time(self, keypoints: KeypointConfig) -> int:
        """How many share the cores: two, where an update takes about as long as steps beside it.

        One, which is given all cores, where an update has convolutions and takes longer, or where
        the steps do, since they see with a large LSPN (docs/speed.md).
        """
        if not self.learning.overlap or self.encoder.encoder != "gnn":
            return 1
        if keypoints.method != "permakey":
            return 2
        filters = keypoints.vae.vae_filters
        largest = max(keypoints.lspn.num_weights(filters[i]) for i in keypoints.lspn.lsp_layers)
        return 1 if largest > _LARGE_LSPN else 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder.needs_objects and self.environment.env_id:
            raise UserError(
                f"nodes=objects: env_id={self.environment.env_id} does not tell where its objects "
                "are; only Atari games do",
                ["nodes", "env_id"],
            )
        if self.learning.epsilon_end > self.learning.epsilon_start:
            raise UserError(
                "epsilon_end must not exceed epsilon_start", ["epsilon_end", "epsilon_start"]
            )
