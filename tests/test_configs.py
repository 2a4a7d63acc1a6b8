"""Settings: ranges, round trips, flags made from them."""

import dataclasses
import importlib
from pathlib import Path

import pytest
from absl import flags as absl_flags
from support import refuses, tiny_config, write_store

from flags import common
from flags import data as data_flags
from flags import keypoints as keypoint_flags
from permakey_tf.configs import agent as agent_configs
from permakey_tf.configs import preset_files
from permakey_tf.configs import quality as quality_config
from permakey_tf.configs.base import added, flatten
from permakey_tf.configs.frames import CollectionConfig, canonical_game
from permakey_tf.configs.keypoints import (
    KeypointConfig,
    LoggingConfig,
    LSPNConfig,
    PointNetConfig,
    TrainingConfig,
    TransporterConfig,
    VAEConfig,
    check_fit,
    resolve,
)
from permakey_tf.errors import UserError
from permakey_tf.runs.keypoints import FrameSpec
from permakey_tf.system import schema
from permakey_tf.training.request import open_store


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(FLAG_FOLDER.parent)  # flag files name others from there


CLASSES = [
    CollectionConfig,
    VAEConfig,
    LSPNConfig,
    PointNetConfig,
    TransporterConfig,
    TrainingConfig,
    LoggingConfig,
    KeypointConfig,
]
AGENT_CLASSES = [
    agent_configs.EnvironmentConfig,
    agent_configs.EncoderConfig,
    agent_configs.LearningConfig,
    agent_configs.ValidationConfig,
    agent_configs.AgentLoggingConfig,
]
ALL_CLASSES = [*CLASSES[:-1], *AGENT_CLASSES, quality_config.QualityConfig]
FLAG_FOLDER = Path(__file__).parents[1] / "flags"
PRESET_FOLDER = FLAG_FOLDER / "presets"  # a link into the package
FLAG_FILES = sorted([*FLAG_FOLDER.rglob("*.cfg"), *PRESET_FOLDER.glob("*.cfg")])
AGENT_PRESETS = [
    path for path in FLAG_FILES if path.name.startswith("rl_") or path.parent.name == "games"
]
PRESETS = [
    path
    for path in FLAG_FILES
    if not path.name.startswith("rl_") and path.parent.name != "sweeps"  # flags of run.sweep
]


def leaf_fields(config_class):
    return [field for field in dataclasses.fields(config_class) if field.metadata]


@pytest.mark.parametrize("config_class", CLASSES + AGENT_CLASSES)
def test_every_setting_has_a_help_text_and_an_origin(config_class):
    for field in leaf_fields(config_class):
        assert len(field.metadata["help"]) > 10, field.name
        assert field.metadata["origin"] in ("paper", "code", "ours"), field.name


@pytest.mark.parametrize("classes", [CLASSES, AGENT_CLASSES], ids=["keypoints", "agent"])
def test_names_are_unique_over_all_parts(classes):
    names = [field.name for config_class in classes for field in leaf_fields(config_class)]
    assert len(names) == len(set(names))


def test_a_config_comes_back_from_its_dict():
    config = tiny_config(lsp_layers=(2, 3), noise="both")
    assert KeypointConfig.from_dict(config.to_dict()) == config


def test_an_agent_of_before_opens_without_the_settings_that_were_added():
    plain = agent_configs.AgentConfig().to_dict()
    del plain["environment"]["env_kwargs"]
    assert agent_configs.AgentConfig.from_dict(plain) == agent_configs.AgentConfig()


@pytest.mark.parametrize("odd", [{"nonsense": 1}, {"learning_rate": None}])
def test_dicts_with_missing_or_unknown_settings_are_refused(odd):
    plain = TrainingConfig().to_dict()
    plain.update(odd)
    if odd == {"learning_rate": None}:
        del plain["learning_rate"]
    with refuses(next(iter(odd))):
        TrainingConfig.from_dict(plain)


@pytest.mark.parametrize(
    ("config_class", "values", "settings", "words"),
    [
        (TrainingConfig, {"learning_rate": 0.0}, ["learning_rate"], ["learning_rate=0.0", "> 0"]),
        (TrainingConfig, {"learning_rate": float("nan")}, ["learning_rate"], ["finite"]),
        (TrainingConfig, {"learning_rate": float("inf")}, ["learning_rate"], ["finite"]),
        (TrainingConfig, {"learning_rate": 10**400}, ["learning_rate"], ["finite"]),
        (TrainingConfig, {"batch_size": 10**9}, ["batch_size"], ["batch_size=1000000000"]),
        (TrainingConfig, {"batch_size": True}, ["batch_size"], ["whole"]),
        (TrainingConfig, {"noise": 1}, ["noise"], ["text"]),
        (VAEConfig, {"vae_filters": (4, 4, 4, "8")}, ["vae_filters"], ["vae_filters[3]"]),
        (TrainingConfig, {"batch_norm_momentum": 1.0}, ["batch_norm_momentum"], ["< 1"]),
        (PointNetConfig, {"num_keypoints": 0}, ["num_keypoints"], ["num_keypoints=0"]),
        (VAEConfig, {"vae_strides": (1, 3, 2, 1)}, ["vae_strides"], ["vae_strides=1,3,2,1"]),
        (VAEConfig, {"vae_strides": (2, 2, 2, 1)}, ["vae_strides"], ["two strides"]),
        (
            VAEConfig,
            {"vae_filters": (4, 4)},
            ["vae_filters", "vae_kernel_sizes", "vae_strides"],
            ["long", "2, 4, 4"],
        ),
        (LSPNConfig, {"lsp_layers": (1, 1)}, ["lsp_layers"], ["twice"]),
        (LSPNConfig, {"lsp_layers": ()}, ["lsp_layers"], ["empty"]),
        (CollectionConfig, {"split": (1, 1)}, ["split"], ["three"]),
    ],
)
def test_values_out_of_range_are_refused_by_name(config_class, values, settings, words):
    with refuses(*words, settings=settings):
        config_class(**values)


@pytest.mark.parametrize("config_class", ALL_CLASSES)
def test_whole_numbers_have_bounds_and_other_numbers_are_finite(config_class):
    """Whatever cannot be meant is refused in one line, before anything of that size is made."""
    default = config_class()
    for field in leaf_fields(config_class):
        value = getattr(default, field.name)
        is_tuple = isinstance(value, tuple)
        kind = schema.type_hints(config_class)[field.name]
        if "int" in str(kind):
            for absurd in (-(10**30), 10**30):
                with refuses(field.name, settings=[field.name]):
                    config_class(**{field.name: (absurd,) * len(value) if is_tuple else absurd})
        if "float" in str(kind):
            for absurd in (float("nan"), float("inf"), float("-inf")):
                with refuses(field.name, settings=[field.name]):
                    config_class(**{field.name: absurd})


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        ({"patch_size": 20}, ["patch_size"], ["patch_size=20", "layer 0", "20 features"]),
        ({"patch_size": 10}, ["patch_size"], ["patch_size=10", "layer 1", "10 features"]),
        ({"patch_size": 9}, None, []),
        (
            {"vae_kernel_sizes": (3, 21, 3, 3)},
            ["vae_kernel_sizes"],
            ["vae_kernel_sizes=3,21,3,3", "20 pixels"],
        ),
        ({"pointnet_kernel_sizes": (3, 3, 3, 99)}, ["pointnet_kernel_sizes"], ["kernel"]),
        ({"vae_kernel_sizes": (20, 3, 3, 3)}, None, []),
        ({"transporter_kernel_sizes": (99, 3, 3, 3)}, None, []),  # of the other method
        (
            {"transporter_kernel_sizes": (99, 3, 3, 3), "method": "transporter"},
            ["transporter_kernel_sizes"],
            ["larger"],
        ),
        ({"vae_kernel_sizes": (99, 3, 3, 3), "method": "transporter"}, None, []),
        # 8 p^2 C = 8 * 81 * 4096 inputs of 4096 units each.
        (
            {"patch_size": 9, "vae_filters": (4096, 8, 8, 8), "lsp_hidden_sizes": (4096, 8)},
            ["patch_size", "lsp_hidden_sizes"],
            ["10,8", "weights"],
        ),
    ],
)
def test_settings_must_fit_the_frames(changes, settings, words):
    config = tiny_config(**changes)
    if settings is None:
        check_fit(config, 20)
        return
    with refuses(*words, settings=settings):
        check_fit(config, 20)


def test_the_number_of_weights_is_that_of_the_networks():
    """By hand, of a patch of 2 x 2 x 4 values and a stack of two blocks."""
    config = tiny_config(vae_filters=(4, 8), vae_kernel_sizes=(3, 5), vae_strides=(1, 1))
    counted = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "permakey_tf.configs.keypoints._check_weights",
            lambda number, *names: counted.append(number),
        )
        check_fit(config, 20)
    assert counted[0] == 9 * 3 * 4 + 25 * 4 * 8  # of the encoder
    assert counted[2] == 128 * 16 + 16 * 8 + 8 * 16  # layer 0: 8 * 2 * 2 * 4 inputs, hidden 16, 8


def test_the_papers_number_of_keypoints_is_filled_in():
    def resolved(config, game):
        return resolve(config, game).pointnet.num_keypoints

    assert resolved(KeypointConfig(), "Ms_Pacman") == 7
    assert resolved(tiny_config(num_keypoints=5), "mspacman") == 5
    with refuses("pong", settings=["num_keypoints"]):
        resolved(KeypointConfig(), "pong")


def test_defaults_are_the_papers():
    config = resolve(KeypointConfig(), "mspacman")
    assert (config.training.learning_rate, config.training.batch_size) == (2e-4, 32)
    assert (config.training.decay_rate, config.training.decay_steps) == (0.85, 10_000)
    assert config.training.patience == 10
    assert config.lspn.lsp_layers == (0, 1)
    assert (config.pointnet.gauss_std, config.pointnet.soft_argmax) == (0.1, "marginal")
    assert (config.pointnet.window_join, config.pointnet.logit_scale) == ("sum", 1.0)


def test_transporters_training_is_its_own_unless_set():
    config = resolve(KeypointConfig(method="transporter"), "mspacman")
    training = config.training
    assert (training.learning_rate, training.batch_size) == (2e-4, 64)
    assert (training.decay_rate, training.decay_steps, training.patience) == (0.9, 30_000, 5)
    assert config.transporter.transporter_filters == (16, 16, 32, 32)
    assert tiny_config(method="transporter", patience=3, decay_rate=0.0).training.decay_rate == 0
    assert tiny_config(method="transporter", patience=3).training.patience == 3


PATHS = {
    "keypoints": {"npz", "images", "data_dir", "logdir"},
    "figures": {"runs", "data", "out"},
    "sweep": {"out", "keypoints"},
    "data": {"npz", "images", "out"},
    "rl": {"keypoints", "logdir", "runs", "out"},
    "quality": {"runs", "keypoints_npz", "export_frames", "data", "out", "mean"},
    "report": {"runs", "out", "collect"},
}


@pytest.mark.parametrize("program", PATHS)
def test_a_tilde_is_the_home_folder_in_every_flag_that_names_files(program, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    values = absl_flags.FlagValues()
    importlib.import_module(f"flags.{program}").define(values)
    got = {}
    for name in values:
        if values[name].flag_type() in ("string", "path", "comma separated list of strings"):
            values[name].parse("~/a,~/b")
            got[name] = values[name].value
    one, several = "/home/me/a,~/b", ["/home/me/a", "/home/me/b"]
    assert {name for name, value in got.items() if value in (one, several)} == PATHS[program]
    assert got.get("runs", several) == several


def test_a_tilde_in_a_flag_file_is_the_home_folder_too(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.cfg").write_text("--npz=~/rollouts\n--source=npz\n")
    assert parsed("--flagfile=~/mine.cfg")["npz"].value == str(tmp_path / "rollouts")


def test_a_folder_of_an_earlier_version_is_named_rather_than_left_behind(tmp_path):
    def fill_in(game):
        template = str(tmp_path / "{game}_{seed}")
        return common.fill_in_to_go_on("logdir", template, game, seed="3")

    assert fill_in("MsPacmanNoFrameskip-v4") == str(tmp_path / "mspacman_3")
    old = tmp_path / "mspacmannoframeskipv4_3"
    old.mkdir()
    with refuses(tmp_path / "mspacman_3", "rename", f"--logdir={old}"):
        fill_in("MsPacmanNoFrameskip-v4")
    assert fill_in("mspacman") == str(tmp_path / "mspacman_3")
    (tmp_path / "mspacman_3").mkdir()
    assert fill_in("MsPacmanNoFrameskip-v4") == str(tmp_path / "mspacman_3")


def test_the_store_that_is_collected_is_named_after_the_game_too():
    def out(*words):
        return data_flags.from_flags(data_values("--game=MsPacmanNoFrameskip-v4", *words)).out

    assert out() == "data/mspacman"
    assert out("--out=other/{game}_2") == "other/mspacman_2"
    with refuses("--out=", "{seed} is no placeholder", "{game}"):
        out("--out=other/{seed}")


def test_a_store_of_an_earlier_version_keeps_no_new_one_from_being_made(tmp_path):
    (tmp_path / "mspacmannoframeskipv4").mkdir()
    words = "--game=MsPacmanNoFrameskip-v4", f"--out={tmp_path}/{{game}}"
    assert data_flags.from_flags(data_values(*words)).out == str(tmp_path / "mspacman")


def test_a_placeholder_that_is_none_is_refused_unless_a_folder_is_named_so(tmp_path):
    def fill_in():
        template = str(tmp_path / "{game}_{sed}")
        return common.fill_in("logdir", template, "pong", method="permakey", seed="3")

    with refuses("--logdir=", "{sed} is no placeholder", "{game}, {method}, {seed}"):
        fill_in()
    (tmp_path / "pong_{sed}").mkdir()
    assert fill_in() == str(tmp_path / "pong_{sed}")


@pytest.mark.parametrize(
    ("name", "game"),
    [
        ("ms_pacman", "mspacman"),
        ("MsPacmanNoFrameskip-v4", "mspacman"),
        ("mspacmannoframeskipv4", "mspacman"),  # as stores of earlier versions spell it
        ("MsPacman-ramDeterministic-v0", "mspacman"),
        ("ALE/MsPacman-v5", "mspacman"),
        ("ALE/Alien-ram-v5", "alien"),
        ("PongNoFrameskip", "pong"),
        ("CartPole-v1", "cartpolev1"),
        ("MinAtar/Breakout-v1", "minatarbreakoutv1"),
    ],
)
def test_a_gym_id_of_an_atari_game_is_that_game(name, game):
    assert canonical_game(name) == canonical_game(game) == game


def test_runs_and_stores_of_earlier_versions_are_of_the_game_of_their_gym_id(tmp_path):
    store = write_store(tmp_path / "old", game="mspacmannoframeskipv4")
    hashed = store.content_hash
    assert store.game == "mspacman"
    assert FrameSpec.of(store) == FrameSpec("mspacmannoframeskipv4", 20, 3, hashed)
    command = ["--game=MsPacman", f"--data_dir={store.path}", "--image_size=20"]
    values = absl_flags.FlagValues()
    keypoint_flags.define(values)
    values(["program", *command])
    assert open_store(keypoint_flags.from_flags(values)).content_hash == hashed


def test_an_unknown_game_gets_the_nearest_name():
    with refuses("'mspackman'", "did you mean mspacman?", settings=["num_keypoints"]):
        resolve(KeypointConfig(), "mspackman")


@pytest.mark.parametrize(("layer", "expected"), [(0, 1), (1, 2), (2, 4), (3, 4), (-1, 4), (-4, 1)])
def test_stride_of_a_layer(layer, expected):
    assert VAEConfig().stack.stride(layer) == expected


def parsed(*arguments):
    values = absl_flags.FlagValues()
    for config_class in (KeypointConfig, LoggingConfig, CollectionConfig):
        common.define(config_class, flag_values=values)
    for name in ("data_dir", "logdir"):  # of run.keypoints
        absl_flags.DEFINE_string(name, "", "Folder.", flag_values=values)
    values(["program", *arguments])
    return values


def test_flags_without_arguments_give_the_defaults():
    assert common.build(KeypointConfig, parsed()) == KeypointConfig()


@pytest.mark.parametrize(
    ("word", "of_the_library", "of_the_command_line"),
    [
        ("source=npz", "npz must be given where source=npz",
         "--npz must be given where --source=npz"),
        ("split=1,2", "split must have three", "--split must have three"),
        ("batch_size=0", "batch_size=0 is out of", "--batch_size=0 is out of"),
        ("learning_rate=nan", "learning_rate must be a finite", "--learning_rate must be a finite"),
        ("vae_strides=1", "vae_filters, vae_kernel_sizes and vae_strides",
         "--vae_filters, --vae_kernel_sizes and --vae_strides"),
    ],
)  # fmt: skip
def test_the_library_names_settings_and_command_lines_their_flags(
    word, of_the_library, of_the_command_line
):
    with pytest.raises(UserError, match=f"^{of_the_command_line}") as error:
        for config_class in (KeypointConfig, CollectionConfig):
            common.build(config_class, parsed(f"--{word}"))
    assert str(error.value.__cause__).startswith(of_the_library)


def test_a_settings_first_mention_is_spelled_and_no_part_of_a_word():
    error = UserError("npz=a/npz: no npz_files where source=npz and --seed", ["source", "npz"])
    assert error.settings == ("source", "npz")
    spelled = error.spelled(lambda name: f"--{name.upper()}")
    assert str(spelled) == "--NPZ=a/npz: no npz_files where --SOURCE=npz and --seed"
    assert spelled.settings == error.settings
    assert spelled.spelled(str.lower) is spelled  # once: by who is nearest to the user
    assert str(UserError("seed").spelled(str.upper)) == "seed"
    error = UserError("runs/a and x/runs are in no runs=...", ["runs"])  # paths stay
    assert str(error.spelled(str.upper)) == "runs/a and x/runs are in no RUNS=..."


def test_a_runs_name_is_no_mention_of_a_setting():
    error = UserError("run noise-both: noise=both: none of it", ["noise"])
    assert str(error.spelled(str.upper)) == "run noise-both: NOISE=both: none of it"


def test_a_renamed_setting_is_told_by_its_flag():
    with refuses("--seed=-1", settings=["collect_seed"]):
        data_flags.from_flags(data_values("--seed=-1"))


def data_values(*words):
    values = absl_flags.FlagValues()
    data_flags.define(values)
    common.parse(values, ["run.data", *words])
    return values


def test_flags_reach_their_settings():
    values = parsed("--lsp_layers=2,3", "--noise=both", "--vae_learning_rate=0.5")
    config = common.build(KeypointConfig, values)
    assert config.lspn.lsp_layers == (2, 3)
    assert config.training.noise == "both"
    assert config.vae.vae_learning_rate == 0.5


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_flag_files_are_valid(path):
    values = parsed(f"--flagfile={path}")
    config = common.build(KeypointConfig, values)
    collection = common.build(CollectionConfig, values)
    assert resolve(config, collection.game).pointnet.num_keypoints > 0


def agent_flags(path):
    values = absl_flags.FlagValues()
    for config_class in (agent_configs.AgentConfig, agent_configs.AgentLoggingConfig):
        common.define(config_class, flag_values=values)
    absl_flags.DEFINE_string("logdir", None, "of run.rl itself", flag_values=values)
    values(["program", f"--flagfile={path}"])
    return values


def parsed_for_the_agent(path):
    return common.build(agent_configs.AgentConfig, agent_flags(path))


@pytest.mark.parametrize("path", AGENT_PRESETS, ids=lambda path: path.name)
def test_flag_files_of_the_agent_are_valid(path):
    parsed_for_the_agent(path)


def preset(name):
    return common.build(KeypointConfig, parsed(f"--flagfile=flags/presets/{name}.cfg"))


def test_the_papers_presets_are_the_defaults():
    assert preset("paper") == KeypointConfig()
    agent = parsed_for_the_agent(PRESET_FOLDER / "rl_paper.cfg")
    assert agent == agent_configs.AgentConfig()


def test_the_workshop_differs_in_transporters_learning_rate_alone():
    workshop = flatten(preset("workshop"))
    paper = flatten(KeypointConfig())
    different = {name for name in paper if workshop[name] != paper[name]}
    assert different == {"transporter_learning_rate"}


# What the released code sets otherwise than the paper, or the paper does not say.
AUTHORS_CODE = {
    "elbo": "mean",
    "latent_dim": 32,
    "likelihood_variance": 0.1,
    "decoder": "code",
    "lsp_depth": "4-layer",
    "lsp_error": "relative",
    "refine_net": "code",
    "pair_window": 100,
    "pairs_per_epoch": 100_000,
    "schedule": "staircase",
    "learning_rate": 2e-4,
    "transporter_learning_rate": None,
    "epochs": 100,
    "patience": 10,
    "batch_norm_momentum": 0.99,
}


@pytest.mark.parametrize(
    ("name", "of_the_method"),
    [
        ("authors_code", {"method": "permakey", "gauss_std": 0.12, "batch_size": 32,
                          "decay_rate": 0.85, "decay_steps": 10_000}),
        ("authors_code_transporter", {"method": "transporter", "gauss_std": 0.1, "batch_size": 64,
                                      "decay_rate": 0.9, "decay_steps": 30_000}),
    ],
)  # fmt: skip
def test_the_authors_code_has_its_own_settings_for_each_method(name, of_the_method):
    expected = AUTHORS_CODE | of_the_method
    settings = flatten(resolve(preset(name), "seaquest"))
    assert {setting: settings[setting] for setting in expected} == expected


KEYPOINT_PRESETS = (
    *("paper", "workshop", "authors_code", "authors_code_transporter"),
    *("quick", "quick_pointnet", "quick_transporter"),
)


def test_pursuit_is_the_quick_presets_alone():
    extractors = {name: preset(name).extractor for name in KEYPOINT_PRESETS}
    assert extractors.pop("quick") == "pursuit"
    assert {*extractors.values(), KeypointConfig().extractor} == {"pointnet"}


@pytest.mark.parametrize("name", KEYPOINT_PRESETS)
def test_a_preset_is_the_same_from_python_and_on_the_command_line(name):
    values = parsed(f"--flagfile=flags/presets/{name}.cfg")
    for config_class in (KeypointConfig, CollectionConfig, LoggingConfig):
        assert config_class.make(name) == common.build(config_class, values)
    assert KeypointConfig.make(name) != KeypointConfig() or name == "paper"
    for game in ("seaquest", "Ms_Pacman"):
        by_flags = resolve(common.build(KeypointConfig, values), game)
        assert KeypointConfig.make(name, game) == by_flags


@pytest.mark.parametrize("name", ["paper", "authors_code", "quick"])
def test_a_preset_of_the_agent_is_the_same_both_ways(name):
    values = agent_flags(f"flags/presets/rl_{name}.cfg")
    built = common.build(agent_configs.AgentConfig, values)
    assert agent_configs.AgentConfig.make(name) == built


def test_every_preset_is_compared():
    agents = {f"rl_{name}" for name in preset_files.names("rl_")}
    assert set(preset_files.names()) == set(KEYPOINT_PRESETS)
    assert {path.stem for path in PRESET_FOLDER.iterdir()} == {*KEYPOINT_PRESETS, *agents}


def test_flat_names_reach_their_settings_and_win_over_the_preset():
    config = KeypointConfig.make("quick", "pong", num_keypoints=5, latent_dim=6, lsp_layers=[2])
    expected = KeypointConfig.make("quick", "pong", num_keypoints=5)
    assert (config.pointnet.num_keypoints, config.extractor) == (5, "pursuit")
    assert (config.vae.latent_dim, config.lspn.lsp_layers) == (6, (2,))
    changed = {n for n, v in flatten(config).items() if v != flatten(expected)[n]}
    assert changed == {"latent_dim", "lsp_layers"}
    assert KeypointConfig.make().training.schedule == "cosine"  # of the quick preset
    assert KeypointConfig.make(None) == KeypointConfig()
    assert CollectionConfig.make("quick", game="pong").num_frames == 12_000


@pytest.mark.parametrize(
    ("arguments", "values", "settings", "words"),
    [
        ((), {"num_keypoint": 5}, [], ["'num_keypoint'", "did you mean num_keypoints?"]),
        ((), {"zzzzz": 5}, [], ["'zzzzz'"]),
        (("quikc",), {}, [], ["preset=quikc", "did you mean quick?"]),
        (("rl_paper",), {}, [], ["preset=rl_paper"]),
        (("../quick",), {}, [], ["preset=../quick"]),
        ((), {"num_keypoints": 0}, ["num_keypoints"], ["num_keypoints=0"]),
        ((), {"num_keypoints": "5"}, ["num_keypoints"], ["whole"]),
        (("quick", "pong"), {}, ["num_keypoints"], ["'pong'"]),
    ],
)
def test_what_make_refuses_is_named(arguments, values, settings, words):
    with refuses(*words, settings=settings):
        KeypointConfig.make(*arguments, **values)


def test_an_old_file_lacks_what_was_added_and_takes_what_was_done_then():
    plain = agent_configs.AgentConfig().to_dict()
    assert plain["learning"].pop("overlap") and plain["learning"].pop("jit_compile")
    learning = agent_configs.AgentConfig.from_dict(plain).learning
    assert not learning.overlap and not learning.jit_compile
    before = added(agent_configs.AgentConfig)
    assert before["learning.overlap"] is False and before["learning.adam_epsilon"] == 1e-7


def test_cores_are_shared_where_updates_take_as_long_as_steps():
    quick, paper = (KeypointConfig.make(name, game="mspacman") for name in ("quick", "paper"))
    transporter = KeypointConfig.make("quick_transporter", game="mspacman")
    make = agent_configs.AgentConfig.make
    assert [make().graphs_at_a_time(seen) for seen in (quick, paper, transporter)] == [2, 1, 2]
    assert make(encoder="cnn").graphs_at_a_time(quick) == 1
    assert make(overlap=False).graphs_at_a_time(quick) == 1
    # Of 8 patches of 2x2 features with 32 channels, the hidden layers, one patch: the paper's.
    assert paper.lspn.num_weights(32) == 1024 * 512 + 512 * 256 + 256 * 128
    four = KeypointConfig.make("paper", lsp_depth="4-layer", num_keypoints=1).lspn
    assert four.num_weights(32) == 1024**2 + paper.lspn.num_weights(32)


@pytest.mark.parametrize(
    ("method", "words", "told"),
    [
        ("transporter", ["--lsp_sample=0.2", "--seed=1"], ["lsp_sample, method=permakey"]),
        # PointNet's are without effect twice over: the nearer cause would not help alone.
        ("transporter", ["--pointnet_filters", "8"], ["pointnet_filters, method=permakey"]),
        ("permakey", ["-nopursuit_lines"], ["pursuit_lines, extractor=pursuit"]),
        ("permakey", ["--pointnet_filters=8", "--flagfile=lsp_sample", "lsp_sample"], []),
    ],
)
def test_flags_that_do_nothing_are_told(method, words, told, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.keypoints", *words])
    common.tell_without_effect(KeypointConfig(method=method))
    expected = [f"note: --{a} does nothing without --{b}" for a, b in (t.split(", ") for t in told)]
    assert capsys.readouterr().out.splitlines() == expected


def test_lists_of_paths_with_an_empty_one_are_refused():
    values = absl_flags.FlagValues()
    keypoint_flags.define(values)
    with refuses("--data_dir=a,", "comma"):
        common.parse(values, ["run.keypoints", "--data_dir=a,"])


def test_a_flag_file_that_another_names_is_looked_for_in_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = absl_flags.FlagValues()
    keypoint_flags.define(values)
    preset = FLAG_FOLDER / "presets" / "quick.cfg"
    with refuses("flags/presets/quick_pointnet.cfg", f"in {tmp_path}", "checkout"):
        common.parse(values, ["run.keypoints", f"--flagfile={preset}"])
    with refuses("flag file") as caught:
        common.parse(values, ["run.keypoints", "--flagfile=/nowhere.cfg"])
    assert str(caught.value).endswith(" /nowhere.cfg")  # no remedy that would mislead


@pytest.mark.parametrize(
    ("game", "env_id", "fits"),
    [
        ("mspacman", "ALE/Pong-v5", False),
        ("pong", "ALE/Pong-v5", True),
        ("ms_pacman", "MsPacmanNoFrameskip-v4", True),
        ("mine", "ALE/Pong-v5", True),
        ("mspacman", "CartPole-v1", True),
    ],
)
def test_frames_of_one_atari_game_are_not_another_ones(game, env_id, fits):
    values = absl_flags.FlagValues()
    keypoint_flags.define(values)
    words = ["--source=gymnasium", f"--game={game}", f"--env_id={env_id}", "--num_keypoints=3"]
    common.parse(values, ["run.keypoints", *words])
    if fits:
        keypoint_flags.from_flags(values)
    else:
        with refuses("--game=mspacman", "plays pong", "--game=pong"):
            keypoint_flags.from_flags(values)


@pytest.mark.parametrize(
    ("num_steps", "learn_start", "update_every", "learns"),
    [(400, 2500, 4, False), (8, 8, 4, True), (11, 9, 4, False), (12, 9, 4, True)],
)
def test_whether_an_agent_learns_at_all(num_steps, learn_start, update_every, learns):
    config = agent_configs.LearningConfig(
        num_steps=num_steps, learn_start=learn_start, update_every=update_every
    )
    assert config.learns == learns


@pytest.mark.parametrize(("signal_name", "code"), [("", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_an_interrupted_program_ends_with_the_code_of_its_signal(signal_name, code, capsys):
    def main():
        raise KeyboardInterrupt(*[signal_name] * bool(signal_name))

    with pytest.raises(SystemExit) as ended:
        common.call_or_leave(main)
    assert ended.value.code == code
    assert capsys.readouterr().err == "error: interrupted; nothing half-written is left\n"
