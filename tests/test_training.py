"""Schedules, early stopping, optimizers, run folders."""

import dataclasses
import errno
import fcntl
import json
import math
import re

import numpy as np
import pytest
from support import closes_its_metrics, refuses, run_folder, tiny_config
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams.metadata import (
    parse_experiment_plugin_data,
    parse_session_start_info_plugin_data,
)

from permakey_tf.configs.agent import AgentConfig, LearningConfig
from permakey_tf.configs.keypoints import LoggingConfig, TrainingConfig
from permakey_tf.data import pipeline
from permakey_tf.detector import KeypointDetector
from permakey_tf.models.build import build_model
from permakey_tf.ops.images import to_images
from permakey_tf.runs import checkpoint
from permakey_tf.runs.agent import AgentFolder
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.runs.metrics import MetricsLog
from permakey_tf.runs.progress import KeypointProgress, Status, is_trained, read_status
from permakey_tf.system import files
from permakey_tf.training.keypoints import KeypointTrainer, learning_rate_schedule
from permakey_tf.training.results import evaluate_run


def make_trainer(store, path, **changes):
    folder = run_folder(KeypointFolder, path, tiny_config(**changes), FrameSpec.of(store))
    return KeypointTrainer(folder, store, LoggingConfig(summary_every=1))


def test_staircase_by_hand():
    training = TrainingConfig(decay_rate=0.85, decay_steps=10_000)
    schedule = learning_rate_schedule(2e-4, training, 10**6)
    rates = [float(schedule(step)) for step in (0, 9_999, 10_000, 25_000)]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-4 / 1.85, 2e-4 / 2.7], rel=1e-6)


def test_cosine_by_hand():
    schedule = learning_rate_schedule(1.0, TrainingConfig(schedule="cosine"), 100)
    expected = [0.5 * (1 + math.cos(math.pi * step / 100)) for step in (0, 25, 50, 100)]
    assert [float(schedule(step)) for step in (0, 25, 50, 100)] == pytest.approx(expected, abs=1e-6)


def test_pursuit_has_nothing_to_train(toy_store, tmp_path):
    """No module, no optimizer, no loss."""
    trainer = make_trainer(toy_store, tmp_path / "run", max_steps=3, extractor="pursuit")
    assert list(trainer.optimizers) == list(trainer.model.modules) == ["vae", "lspn"]
    trainer.train()
    assert not any("pointnet" in name for name in trainer.variables)
    header, rows = files.read_rows(tmp_path / "run" / "metrics.csv")
    assert not any("pointnet" in name for name in header)
    # Where keypoints are is measured at validations; training does without.
    described = [name for name in header if name.endswith(("pursuit_error", "keypoint_spread"))]
    assert described == ["validation/pursuit_error", "validation/keypoint_spread"]
    last = rows[-1]
    assert float(last["validation/pursuit_error"]) > 0


def test_what_pursuit_reads_off_the_frames_is_saved_with_the_weights(toy_store, tmp_path):
    settings = {"extractor": "pursuit", "seed": 3}
    trainer = make_trainer(toy_store, tmp_path / "run", max_steps=2, **settings)
    trainer.train()
    frames = pipeline.held_out_examples(toy_store, trainer.sampler, trainer.config, "train", 512)
    cells = trainer.model.extractor_layer.cells(trainer.model.error_maps(to_images(frames))).numpy()
    background = trainer.model.extractor_layer.background.numpy()
    np.testing.assert_allclose(background, np.median(cells, axis=0), atol=1e-5)
    assert background.any() and trainer.model.extractor_layer.usual.numpy().any()
    resumed = make_trainer(toy_store, tmp_path / "run", max_steps=2, **settings)
    np.testing.assert_array_equal(resumed.model.extractor_layer.background, background)
    detector = KeypointDetector.load(tmp_path / "run")
    np.testing.assert_array_equal(detector.model.extractor_layer.background, background)
    np.testing.assert_array_equal(
        detector.model.extractor_layer.usual, trainer.model.extractor_layer.usual
    )


def test_every_module_has_its_own_adam_and_learning_rate(toy_store, tmp_path):
    rates = {"learning_rate": 1e-3, "vae_learning_rate": 2e-3, "pointnet_learning_rate": 3e-3}
    trainer = make_trainer(toy_store, tmp_path / "run", max_steps=3, **rates)
    trainer.train()
    steps = {name: int(o.iterations) for name, o in trainer.optimizers.items()}
    assert steps == {"vae": 3, "lspn": 3, "pointnet": 3}  # one shared Adam would have counted 9
    found = {name: float(o.learning_rate) for name, o in trainer.optimizers.items()}
    assert found == pytest.approx({"vae": 2e-3, "lspn": 1e-3, "pointnet": 3e-3})


def test_the_first_step_of_adam_moves_every_weight_by_the_learning_rate(toy_store, tmp_path):
    trainer = make_trainer(toy_store, tmp_path / "run", max_steps=1, learning_rate=1e-3)
    kernel = trainer.model.vae.decoder.get_layer("output").kernel  # large gradients
    before = kernel.numpy()
    trainer.train()
    np.testing.assert_allclose(np.abs(kernel.numpy() - before), 1e-3, rtol=1e-3)


def test_early_stopping_and_the_best_checkpoint(toy_store, tmp_path, monkeypatch):
    trainer = make_trainer(toy_store, tmp_path / "run", patience=2, validate_every=3)
    names = list(trainer.evaluation_step(toy_store.frames[:2]))
    script = iter([3.0, 2.0, 2.5, 2.1, 1.0])  # better, better, worse, worse: stop
    weights = []

    def evaluate(_):
        weights.append(trainer.model.extractor_layer.regressor.kernel.numpy())
        return dict.fromkeys(names, 0.0) | {"selection": next(script)}

    monkeypatch.setattr(trainer, "evaluate", evaluate)
    trainer.train()
    progress = trainer.progress
    assert (progress.step, progress.best_step, progress.best_loss) == (12, 6, 2.0)
    assert progress.finished
    trainer.restore_best()
    np.testing.assert_array_equal(
        trainer.model.extractor_layer.regressor.kernel.numpy(), weights[1]
    )
    assert np.any(weights[1] != weights[3])


def test_evaluation_weighs_batches_by_their_size(toy_store, tmp_path):
    trainer = make_trainer(toy_store, tmp_path / "run", batch_size=4)  # 6 frames: 4 and 2
    rows = toy_store.split_range("validation")
    frames = toy_store.frames[rows.start : rows.stop]
    assert len(frames) == 6
    parts = [trainer.evaluation_step(frames[i : i + 1])["loss_vae"] for i in range(6)]
    assert trainer.evaluate("validation")["loss_vae"] == pytest.approx(np.mean(parts), rel=1e-4)


def test_weights_that_are_not_finite_are_never_saved(toy_store, tmp_path):
    trainer = make_trainer(toy_store, tmp_path / "run")
    trainer._save()
    saved = trainer.folder.latest_checkpoint.read_bytes()
    kernel = trainer.model.extractor_layer.regressor.kernel
    kernel.assign(kernel * np.nan)
    with refuses("regressor/kernel", "step 0", settings=["learning_rate", "logdir"]):
        trainer._save()
    assert trainer.folder.latest_checkpoint.read_bytes() == saved


@pytest.mark.parametrize("at", ["settings", "scalars"])
def test_whatever_ends_a_training_its_metrics_are_closed(toy_store, tmp_path, monkeypatch, at):
    trainer = make_trainer(toy_store, tmp_path / "run")
    closes_its_metrics(monkeypatch, at, lambda: trainer.train(progress=False))


class TestABestThatIsNotFinite:
    """It never replaces a good one, and is never used."""

    @pytest.fixture
    def trainer(self, toy_store, tmp_path, monkeypatch):
        """One whose validations are as `trainer.selections` says; it has a good best already."""
        trainer = make_trainer(toy_store, tmp_path / "run")
        trainer.selections = [3.0]
        monkeypatch.setattr(trainer, "evaluate", lambda _: {"selection": trainer.selections.pop()})
        self.validate(trainer, tmp_path)
        return trainer

    def validate(self, trainer, tmp_path):
        log = MetricsLog(tmp_path / "run", ["validation/selection"], 0)
        try:
            trainer._validate(log)
        finally:
            log.close()

    def test_of_its_weights(self, trainer, tmp_path):
        good = trainer.folder.best_checkpoint.read_bytes()
        kernel = trainer.model.extractor_layer.regressor.kernel
        kernel.assign(kernel * np.inf)
        trainer.selections.append(1.0)
        with refuses(
            "regressor/kernel",
            "step 0",
            "lower learning_rate",
            settings=["learning_rate", "logdir"],
        ):
            self.validate(trainer, tmp_path)
        assert trainer.folder.best_checkpoint.read_bytes() == good
        assert trainer.selections == [1.0]  # nothing is validated either

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_of_its_validation(self, trainer, tmp_path, value):
        good = trainer.folder.best_checkpoint.read_bytes()
        trainer.selections.append(value)
        with refuses(
            f"validation/selection is {value} at step 0", settings=["learning_rate", "logdir"]
        ):
            self.validate(trainer, tmp_path)
        assert trainer.folder.best_checkpoint.read_bytes() == good
        assert trainer.progress.best_loss == 3.0

    def test_of_an_earlier_version(self, trainer):
        arrays = checkpoint.to_arrays(trainer.weights)
        name = next(iter(arrays))
        checkpoint.save(trainer.folder.best_checkpoint, arrays | {name: arrays[name] * np.nan})
        with refuses("best.npz", "finite", settings=["learning_rate", "logdir"]):
            trainer.folder.load_model()


def test_a_checkpoint_holds_weights_moving_statistics_optimizers_and_progress(toy_store, tmp_path):
    trainer = make_trainer(toy_store, tmp_path / "run", max_steps=2)
    trainer.train()
    names = set(checkpoint.load(trainer.folder.latest_checkpoint))
    assert len(names) == len(trainer.model.variables) + 5 + sum(
        len(optimizer.variables) for optimizer in trainer.optimizers.values()
    )
    assert any("moving_variance" in name for name in names)
    assert any("momentum" in name for name in names)


def test_a_code_refine_net_without_its_last_normalisation_is_refused(toy_store, tmp_path):
    settings = {"method": "transporter", "refine_net": "code"}
    trainer = make_trainer(toy_store, tmp_path / "run", **settings)
    trainer._save()
    everything = checkpoint.load(trainer.folder.latest_checkpoint)
    old = {name: a for name, a in everything.items() if not re.search("refine_net.norm.", name)}
    assert len(everything) - len(old) == 4 + 2 * 2  # of two variables, two moments each
    checkpoint.save(trainer.folder.latest_checkpoint, old)
    weights = {name: old[name] for name in trainer.weights if name in old}
    checkpoint.save(trainer.folder.best_checkpoint, weights)
    with refuses("best.npz", "refine_net=code", "anew", settings=["logdir", "refine_net"]):
        KeypointFolder.open(tmp_path / "run").load_model()
    with refuses("latest.npz", "refine_net=code", "anew", settings=["logdir", "refine_net"]):
        make_trainer(toy_store, tmp_path / "run", **settings)  # a resume


class TestALongerRun:
    """A run that was made with fewer steps goes on as one that was made with more from the start,
    bit for bit, where its schedule gives the steps already made the same learning rates."""

    @staticmethod
    def everything(trainer):
        """All arrays of both checkpoints, and the table but for the speed."""
        folder = trainer.folder
        arrays = [
            {name: array.tobytes() for name, array in checkpoint.load(path).items()}
            for path in (folder.latest_checkpoint, folder.best_checkpoint)
        ]
        rows = files.read_rows(folder.path / "metrics.csv")[1]
        timed = "images_per_second"
        return arrays, [{k: v for k, v in row.items() if k != timed} for row in rows]

    def test_equals_one_that_was_made_so(self, toy_store, tmp_path):
        def train(name, **length):
            # A stair lies before the old end, and one after it.
            stairs = {"decay_steps": 3, "decay_rate": 0.5, "validate_every": 2}
            trainer = make_trainer(toy_store, tmp_path / name, **stairs, **length)
            assert not trainer.train().signal
            assert trainer.progress.finished
            return trainer

        evaluate_run(train("run", max_steps=4))
        longer = train("run", max_steps=8)
        assert not longer.folder.is_evaluated  # not since
        assert self.everything(longer) == self.everything(train("expected", max_steps=8))

    @staticmethod
    def folder(path, store, **changes):
        folder = run_folder(KeypointFolder, path, tiny_config(**changes), FrameSpec.of(store))
        checkpoint.save(
            folder.latest_checkpoint, KeypointProgress(step=4, finished=True).to_arrays()
        )
        return folder

    def test_is_not_finished_and_its_settings_are_the_new_ones(self, toy_store, tmp_path):
        folder = self.folder(tmp_path / "run", toy_store, max_steps=4, epochs=1)
        folder.results["test losses"].touch()
        frames = FrameSpec.of(toy_store)
        assert read_status(folder.path, folder.config, frames) == (4, True, False)
        for length in ({"max_steps": 8, "epochs": 1}, {"max_steps": None, "epochs": 2}):
            config = tiny_config(**length)
            assert read_status(folder.path, config, frames) == (4, False, False)
            run_folder(KeypointFolder, folder.path, config, frames)
            assert KeypointFolder.open(folder.path).config == config
            assert not folder.is_evaluated

    @pytest.mark.parametrize(
        ("changes", "words", "settings"),
        [
            ({"max_steps": 8}, ["max_steps was 4, now 8", "=cosine"], ["schedule", "logdir"]),
            ({"max_steps": 8, "seed": 1}, ["seed was 0, now 1", "another logdir"], ["logdir"]),
            ({"max_steps": 3}, ["max_steps was 4, now 3"], ["logdir"]),
            (
                {"schedule": "staircase", "max_steps": 8},
                ["schedule was cosine, now staircase"],
                ["logdir"],
            ),
        ],
    )
    def test_is_refused_where_it_would_be_another(
        self, toy_store, tmp_path, changes, words, settings
    ):
        begun = {"max_steps": 4, "schedule": "cosine"}
        folder = self.folder(tmp_path / "run", toy_store, **begun)
        before = (folder.path / "config.json").read_text()
        with refuses(*words, settings=settings):
            self.folder(folder.path, toy_store, **begun | changes)
        assert (folder.path / "config.json").read_text() == before

    @pytest.mark.parametrize(
        ("step", "worse", "num_steps", "then"),
        [
            (8, 3, 8, (True, 3)),  # no longer than it was
            (8, 2, 16, (False, 2)),  # a validation that any run has
            (8, 3, 16, (True, 3)),  # stopped early
            (10, 3, 16, (False, 2)),  # validated at its end, of which a longer run knows nothing
            (10, 0, 16, (False, 0)),  # and that was the best
        ],
    )
    def test_ends_where_a_run_of_that_length_would(self, step, worse, num_steps, then):
        progress = KeypointProgress(step=step, validations_since_best=worse, finished=True)
        progress.go_on(num_steps, validate_every=4, patience=3)
        assert (progress.finished, progress.validations_since_best) == then

    def test_of_an_agent(self, toy_store, tmp_path):
        keypoints = run_folder(
            KeypointFolder, tmp_path / "keypoints", tiny_config(), FrameSpec.of(toy_store)
        )
        checkpoint.save(keypoints.best_checkpoint, {})

        def open_folder(name, **changes):
            learning = dataclasses.replace(LearningConfig(), **changes)
            config = dataclasses.replace(AgentConfig(), learning=learning)
            folder = run_folder(AgentFolder, tmp_path / name, config, keypoints)
            checkpoint.save(folder.latest_checkpoint, {})

        for name, share in (
            ("falls", {"epsilon_steps": 50}),
            ("stays", {"epsilon_start": 0.1}),
            ("over all", {}),
        ):
            open_folder(name, num_steps=100, **share)
            if name == "over all":
                with refuses(
                    "num_steps was 100, now 200",
                    "epsilon_steps",
                    settings=["epsilon_steps", "keypoints", "logdir"],
                ):
                    open_folder(name, num_steps=200, **share)
            else:
                open_folder(name, num_steps=200, **share)
                assert AgentFolder.open(tmp_path / name).config.learning.num_steps == 200
            with refuses("num_steps was ", ", now 50)", settings=["keypoints", "logdir"]):
                open_folder(name, num_steps=50, **share)


class TestABestThatIsMissing:
    def test_the_way_to_it_is_told(self, toy_store, tmp_path):
        path, frames = tmp_path / "run", FrameSpec.of(toy_store)
        command = "python -m run.keypoints --x=1 --logdir=elsewhere"
        held = KeypointFolder.held(path, tiny_config(), frames, command)
        with held as folder, refuses("best.npz", "first validation", path):
            folder.load_model()
        # The folder may have been moved since.
        with refuses(f"`python -m run.keypoints --x=1 --logdir={path}`", "train first"):
            folder.load_model()
        checkpoint.save(folder.latest_checkpoint, {})
        with refuses(f"`python -m run.keypoints --x=1 --logdir={path}`", "resume"):
            folder.load_model()
        with refuses("resume", "`python -m run.keypoints"):
            AgentFolder(tmp_path / "agent", AgentConfig(), folder)

    def test_one_that_was_there_is_gone(self, toy_store, tmp_path):
        frames = FrameSpec.of(toy_store)
        folder = run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)
        ended = KeypointProgress(step=20, best_step=10, finished=True)
        checkpoint.save(folder.latest_checkpoint, ended.to_arrays())
        for use in (
            folder.load_model,
            lambda: read_status(folder.path, tiny_config(), frames),
            lambda: run_folder(KeypointFolder, folder.path, tiny_config(), frames),
        ):
            with refuses(
                "best.npz",
                "step 10",
                "bring it back",
                "another logdir",
                f"delete {folder.path}",
                settings=["logdir"],
            ):
                use()

    def test_runs_of_earlier_versions_do_not_know_their_command(self, toy_store, tmp_path):
        frames = FrameSpec.of(toy_store)
        folder = run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)
        checkpoint.save(folder.latest_checkpoint, {})
        with refuses("best.npz", "resume", "command"):
            folder.load_model()


class TestALatestThatIsGone:
    """A user deletes what only resuming needs, and types the command once more."""

    @pytest.fixture
    def folder(self, toy_store, tmp_path):
        frames = FrameSpec.of(toy_store)
        folder = run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)
        checkpoint.save(folder.best_checkpoint, {})
        return folder

    def test_a_run_that_is_not_finished_does_not_begin_anew(self, folder):
        for use in (
            lambda: read_status(folder.path, folder.config, folder.frames),
            lambda: run_folder(KeypointFolder, folder.path, folder.config, folder.frames),
        ):
            with refuses("latest.npz is gone", "best.npz", "another logdir", settings=["logdir"]):
                use()
        assert folder.best_checkpoint.exists()
        assert not is_trained(folder)

    @pytest.mark.parametrize("finished", [False, True])
    def test_where_it_is_there_it_says_whether_the_run_is_trained(self, folder, finished):
        progress = KeypointProgress(step=20, best_step=10, finished=finished)
        checkpoint.save(folder.latest_checkpoint, progress.to_arrays())
        for evaluated in (False, True):
            assert is_trained(folder) is finished, evaluated
            (folder.path / "evaluation.json").write_text('{"steps": 20}')

    def test_a_finished_run_stays_finished(self, folder):
        (folder.path / "evaluation.json").write_text('{"steps": 20}')
        found = read_status(folder.path, folder.config, folder.frames)
        assert found == Status(20, True, False)
        assert is_trained(folder)
        folder.best_checkpoint.unlink()
        assert not is_trained(folder)
        checkpoint.save(folder.best_checkpoint, {})
        longer = tiny_config(epochs=10**6)
        with refuses("latest.npz is gone", settings=["logdir"]):
            read_status(folder.path, longer, folder.frames)


class TestCheckpointsThatAreGone:
    """A user copies a run without its large files, and types the command once more."""

    ROWS = "step,train/loss,validation/loss\n10,1.0,\n20,1.0,\n20,,1.0\n"

    @pytest.fixture
    def folder(self, toy_store, tmp_path):
        frames = FrameSpec.of(toy_store)
        return run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)

    @pytest.mark.parametrize(
        ("file", "text"),
        [("metrics.csv", ROWS + "30,1.0,\n"), ("evaluation.json", '{"steps": 20}')],
    )
    def test_what_the_run_has_done_is_not_replaced(self, folder, file, text):
        (folder.path / file).write_text(text)
        for use in (
            lambda: read_status(folder.path, folder.config, folder.frames),
            lambda: run_folder(KeypointFolder, folder.path, folder.config, folder.frames),
        ):
            with refuses("checkpoints", "run are gone", "another logdir", settings=["logdir"]):
                use()
        assert (folder.path / file).read_text() == text

    @pytest.mark.parametrize("rows", ["", ROWS[: ROWS.index("20,,")], ROWS])
    def test_a_run_that_was_killed_before_it_saved_begins_anew(self, folder, rows):
        """The row of a validation is written before its checkpoint."""
        (folder.path / "metrics.csv").write_text(rows)
        assert read_status(folder.path, folder.config, folder.frames) == Status(0, False, False)
        run_folder(KeypointFolder, folder.path, folder.config, folder.frames)


class TestKeypointFolder:
    @pytest.fixture
    def frames(self, toy_store):
        return FrameSpec.of(toy_store)

    def test_comes_back_from_disk(self, tmp_path, frames):
        run_folder(KeypointFolder, tmp_path / "run", tiny_config(noise="both"), frames)
        folder = KeypointFolder.open(tmp_path / "run")
        assert folder.config == tiny_config(noise="both")
        assert folder.frames == frames

    def test_other_frames_are_refused(self, tmp_path, frames):
        folder = run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)
        checkpoint.save(folder.latest_checkpoint, {})
        other = FrameSpec("toy", 20, 3, "another hash")
        with refuses("frames were others", "store ", settings=["logdir"]):
            run_folder(KeypointFolder, tmp_path / "run", tiny_config(), other)

    def test_before_the_first_checkpoint_it_takes_other_settings(self, tmp_path, frames):
        first = run_folder(KeypointFolder, tmp_path / "run", tiny_config(batch_size=64), frames)
        with first.locked(), refuses(tmp_path / "run", "in use"):
            run_folder(KeypointFolder, tmp_path / "run", tiny_config(batch_size=4), frames)
        assert KeypointFolder.open(tmp_path / "run").config.training.batch_size == 64
        (tmp_path / "run" / "metrics.csv").write_text("step,other\n")
        again = run_folder(KeypointFolder, tmp_path / "run", tiny_config(batch_size=4), frames)
        assert KeypointFolder.open(tmp_path / "run").config.training.batch_size == 4
        MetricsLog(again.path, ["loss"], 0).close()  # its table has other columns

    def test_where_there_are_no_locks_it_says_so(self, tmp_path, frames, monkeypatch, capsys):
        def refuse(*_):
            raise OSError(errno.ENOSYS, "Function not implemented")

        folder = run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)
        monkeypatch.setattr(fcntl, "flock", refuse)
        with folder.locked():
            assert "has no locks" in capsys.readouterr().out

    def test_opening_a_model_seeds_nobody_elses_random_numbers(self, tmp_path, frames):
        folder = run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)
        model = build_model(folder.config, frames.image_size, frames.channels)
        named = checkpoint.named_variables({"model": model.variables})
        checkpoint.save(folder.best_checkpoint, checkpoint.to_arrays(named))
        np.random.seed(5)
        expected = np.random.rand(3)
        np.random.seed(5)
        folder.load_model()
        assert np.array_equal(np.random.rand(3), expected)

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"format_version": 1}'])
    def test_damaged_configs_are_named(self, tmp_path, content):
        (tmp_path / "config.json").write_text(content)
        with refuses("config.json is damaged"):
            KeypointFolder.open(tmp_path)

    def test_settings_of_another_version_are_named_with_the_file(self, tmp_path, frames):
        run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)
        file = tmp_path / "run" / "config.json"
        file.write_text(file.read_text().replace('"soft_argmax"', '"argmax"'))
        with refuses("run/config.json", "argmax, soft_argmax"):
            KeypointFolder.open(tmp_path / "run")

    def test_newer_formats_are_refused(self, tmp_path, frames):
        run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)
        file = tmp_path / "run" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"format_version": 2}))
        with refuses("format version 2"):
            KeypointFolder.open(tmp_path / "run")

    def test_runs_of_another_kind_are_refused(self, tmp_path, frames):
        run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)
        with refuses("'keypoints'", "'agent'"):
            AgentFolder.open(tmp_path / "run")

    def test_a_start_that_was_killed_early_is_taken_over(self, tmp_path, frames):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.json.partial").write_text("{")
        (tmp_path / "run" / ".lock").touch()
        run_folder(KeypointFolder, tmp_path / "run", tiny_config(), frames)


def tags_of(path):
    """{tag: steps} of all event files in a folder."""
    found = {}
    for file in sorted(path.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    return found


class TestMetricsLog:
    def report(self, path, first_step, step, group="agent/"):
        log = MetricsLog(path, ["train/loss"], first_step, group)
        log.settings({"game": "a|b"}, {"seed": 1, "lsp_layers": (0, 1)})
        if not first_step:
            log.image(0, "panels/windows", np.zeros([2, 2, 3], np.uint8))
        log.scalars(step, {"train/loss": 2.0})
        log.close()

    def test_tensorboards_names_have_the_group_and_step_0_stays(self, tmp_path):
        self.report(tmp_path, 0, 1)
        self.report(tmp_path, 0, 1)  # killed before its first checkpoint
        self.report(tmp_path, 1, 2)
        tags = tags_of(tmp_path)
        hyper = ("_hparams_/experiment", "_hparams_/session_start_info")
        once = {tag: [0] for tag in ("config", *hyper)}
        assert tags == once | {"agent/train/loss": [1, 2], "agent/panels/windows": [0]}
        assert (tmp_path / "metrics.csv").read_text() == "step,train/loss\n1,2.0\n2,2.0\n"

    def test_runs_of_earlier_versions_go_on_where_they_are(self, tmp_path):
        (tmp_path / "tensorboard").mkdir()
        self.report(tmp_path, 0, 1)
        self.report(tmp_path, 1, 2)
        tags = tags_of(tmp_path / "tensorboard")
        assert tags["train/loss"] == [1, 2]
        assert tags["windows"] == [0]
        assert not tags_of(tmp_path)

    def test_tensorboards_table_of_runs(self, tmp_path):
        """A row is named by the run, and columns are the chosen ones, selection first."""
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            self.report(tmp_path / name, 0, 1, group="")
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
        multiplexer.Reload()
        assert set(multiplexer.Runs()) == {"one", "two"}
        for run in multiplexer.Runs():
            found = multiplexer.SummaryMetadata(run, "_hparams_/session_start_info")
            start = parse_session_start_info_plugin_data(found.plugin_data.content)
            assert start.group_name == f"{tmp_path.name}/{run}"
            assert start.hparams["seed"].number_value == 1
            found = multiplexer.SummaryMetadata(run, "_hparams_/experiment")
            experiment = parse_experiment_plugin_data(found.plugin_data.content)
            assert experiment.metric_infos[0].name.tag == "validation/selection"
            assert len(experiment.hparam_infos) < 20

    def test_rows_after_the_resumed_step_and_cut_off_rows_are_dropped(self, tmp_path):
        (tmp_path / "metrics.csv").write_text("step,a,b\n1,0.5,\n2,,7\n3,1,1\n4,2")
        log = MetricsLog(tmp_path, ["a", "b"], first_step=2)
        log.scalars(3, {"b": 9.0})
        log.close()
        assert (tmp_path / "metrics.csv").read_text() == "step,a,b\n1,0.5,\n2,,7\n3,,9.0\n"

    @pytest.mark.parametrize(
        ("left", "words"),
        [
            ("step,train/loss\n100,2.0\n", "ends at step 100,"),
            ("step,train/loss\n100,2.0\n200,2", "ends at step 100,"),
            ("step,train/l", "ends at step 0,"),
            (None, "is missing,"),
        ],
        ids=["cut", "cut within a row", "cut within its header", "deleted"],
    )
    def test_rows_that_are_lost_are_told_at_resumption(self, tmp_path, capsys, left, words):
        self.report(tmp_path, 0, 100)
        self.report(tmp_path, 100, 200)
        path = tmp_path / "metrics.csv"
        path.unlink() if left is None else path.write_text(left)
        self.report(tmp_path, 250, 300)
        (note,) = capsys.readouterr().out.splitlines()
        assert note.startswith(f"note: {path} {words} ") and "up to step 200: " in note
        self.report(tmp_path, 350, 400)  # they have been told
        assert not capsys.readouterr().out

    def test_nothing_is_told_where_nothing_is_lost(self, tmp_path, capsys):
        self.report(tmp_path, 0, 100)
        self.report(tmp_path, 0, 100)  # killed before its first checkpoint
        (tmp_path / "metrics.csv").unlink()
        self.report(tmp_path, 0, 100)  # nothing was trained
        self.report(tmp_path, 5099, 5100)  # it reported less often than now, or not at all
        self.report(tmp_path, 5099, 5100)
        self.report(tmp_path, 6000, 6100)
        assert not capsys.readouterr().out

    def test_unknown_names_are_an_error(self, tmp_path):
        log = MetricsLog(tmp_path, ["a"], first_step=0)
        with pytest.raises(ValueError, match="typo"):
            log.scalars(1, {"typo": 1.0})
        log.close()

    def test_another_programs_table_is_refused(self, tmp_path):
        (tmp_path / "metrics.csv").write_text("epoch,loss\n1,2\n")
        with refuses(tmp_path / "metrics.csv", "columns", settings=["logdir"]):
            MetricsLog(tmp_path, ["a"], first_step=0)
