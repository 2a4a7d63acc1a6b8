"""Several stores are one: rows, splits, weights, and what is refused."""

import collections
import dataclasses

import numpy as np
import pytest
from support import parsed, refuses, run_folder, tiny_config, write_store

from flags import keypoints as keypoint_flags
from permakey_tf.data.format import SPLITS
from permakey_tf.data.joining import join_stores
from permakey_tf.data.store import FrameStore
from permakey_tf.data.writer import FrameStoreWriter
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.training import request as requests
from permakey_tf.types import Step

SIZES = (60, 30, 40)  # 48, 24 and 32 training frames


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [
        write_store(folder / name, size, seed=seed)
        for seed, (name, size) in enumerate(zip("abc", SIZES, strict=True))
    ]


@pytest.fixture(scope="module")
def joined(stores):
    return join_stores(stores)


def play(path, episodes, with_actions=False, game="toy"):
    """A store of {split: [brightness of every frame of an episode, ...]}."""
    columns = {"actions"} if with_actions else set()
    with FrameStoreWriter(path, 8, 3, columns=columns) as writer:
        for split in SPLITS:
            for values in episodes[split]:
                for i, value in enumerate(values):
                    frame = np.full([8, 8, 3], value, np.uint8)
                    frame[0, 0] = i  # no frame is blank
                    writer.append(Step(frame, i == 0, action=int(value) % 7 if i else -1), split)
        writer.finish({"game": game, "source": "test"})
    return FrameStore.open(path)


class TestRows:
    @pytest.mark.parametrize("split", SPLITS)
    def test_every_split_is_that_of_the_first_then_of_the_next(self, stores, joined, split):
        rows = joined.split_range(split)
        parts = [s.frames[s.split_range(split).start : s.split_range(split).stop] for s in stores]
        np.testing.assert_array_equal(joined.frames[rows.start : rows.stop], np.concatenate(parts))
        assert [len(rows) for rows in joined.split_parts(split)] == [len(part) for part in parts]

    def test_frames_are_indexed_as_an_array(self, joined):
        everything = joined.frames[:]
        assert joined.frames.shape == everything.shape == (130, 20, 20, 3)
        for index in (5, -1, slice(40, 120, 7), [[99, 3], [3, 60]], everything[:, 0, 0, 0] > 30):
            np.testing.assert_array_equal(joined.frames[index], everything[index])

    def test_episodes_are_numbered_anew(self, joined):
        # A store of `write_store` has one episode a split.
        lengths = [48, 24, 32, 6, 3, 4, 6, 3, 4]
        np.testing.assert_array_equal(joined.episodes, np.repeat(range(9), lengths))

    def test_one_store_is_one_part(self, stores):
        assert stores[0].split_parts("validation") == [range(48, 54)]


class TestSampling:
    # TensorFlow takes seconds to load: here, so that the other tests do not wait for it.
    def sampler(self, store, frames=1, **changes):
        from permakey_tf.data import pipeline

        return pipeline.make_sampler(store, tiny_config(**changes), frames)

    def test_without_weights_an_epoch_has_every_frame_of_all_once(self, joined):
        sampler = self.sampler(joined)
        rows = np.concatenate([sampler.training(step) for step in range(26)])
        np.testing.assert_array_equal(np.sort(rows), joined.split_range("train"))

    def test_an_epoch_has_of_every_store_its_share(self, stores):
        sampler = self.sampler(join_stores(stores, (2, 1, 1)))
        for epoch in range(3):
            rows = np.concatenate([sampler.training(26 * epoch + step) for step in range(26)])
            part = np.searchsorted([48, 72, 104], rows, side="right")
            np.testing.assert_array_equal(np.bincount(part), [52, 26, 26])

    def test_shares_mix_within_an_epoch(self, stores):
        sampler = self.sampler(join_stores(stores, (2, 1, 1)), batch_size=52)
        part = np.searchsorted([48, 72, 104], sampler.training(0), side="right")
        assert np.all(np.bincount(part) > [17, 6, 6])

    def test_a_stores_frames_are_all_drawn_before_one_is_drawn_again(self, stores):
        sampler = self.sampler(join_stores(stores, (1, 3, 1)))
        rows = np.concatenate([sampler.training(step) for step in range(26 * 4)])
        for first, last in ((0, 48), (48, 72), (72, 104)):
            drawn = rows[(rows >= first) & (rows < last)]
            whole = drawn[: len(drawn) // (last - first) * (last - first)]
            passes = np.sort(whole.reshape(-1, last - first), axis=1)
            np.testing.assert_array_equal(passes, [range(first, last)] * len(passes))

    def test_passes_have_orders_of_their_own(self, stores):
        rows = [self.sampler(join_stores(stores, (1, 1, 1))).training(step) for step in range(104)]
        drawn = np.concatenate(rows)
        drawn = drawn[(drawn >= 48) & (drawn < 72)][:48].reshape(2, 24)
        assert np.any(drawn[0] != drawn[1])

    def test_a_step_depends_on_nothing_before_it(self, stores):
        store = join_stores(stores, (2, 1, 1))
        sampler = self.sampler(store)
        before = [sampler.training(step) for step in range(60)]
        np.testing.assert_array_equal(before[55], self.sampler(store).training(55))

    def test_pairs_lie_in_a_store_and_have_its_weight(self, stores):
        store = join_stores(stores, (1, 1, 4))
        sampler = self.sampler(store, 2, method="transporter", batch_size=3000)
        pairs = sampler.training(7)
        np.testing.assert_array_equal(*store.episodes[pairs].T)
        shares = np.bincount(store.episodes[pairs[:, 0]]) / 3000
        np.testing.assert_allclose(shares, np.array([1, 1, 4]) / 6, atol=0.03)
        other = sampler.held_out("test")
        assert other.shape == (13, 2)
        np.testing.assert_array_equal(*store.episodes[other].T)

    def test_batches_hold_frames_of_all_stores(self, stores, joined):
        from permakey_tf.data import pipeline

        sampler, config = self.sampler(joined, batch_size=26), tiny_config(batch_size=26)
        (batch,) = pipeline.training_batches(joined, sampler, config, 0, 1)
        training = np.concatenate([s.frames[: s.split_range("train").stop] for s in stores])
        np.testing.assert_array_equal(batch, training[sampler.training(0)])


class TestIdentity:
    def test_hash_and_spec_tell_stores_order_and_weights(self, stores):
        joins = [
            join_stores(stores),
            join_stores(stores[::-1]),
            join_stores(stores[:2]),
            join_stores(stores, (1, 1, 1)),
            join_stores(stores, (2, 1, 1)),
        ]
        assert len({store.content_hash for store in joins}) == 5
        assert FrameSpec.of(joins[4]).weights == (2, 1, 1)

    def test_a_run_knows_the_stores_that_it_was_trained_on(self, stores):
        whole, some = FrameSpec.of(join_stores(stores)), FrameSpec.of(join_stores(stores[:2]))
        assert all(whole.include(store.content_hash) for store in stores)
        assert whole.include(whole.content_hash) and not whole.include(some.content_hash)
        assert [some.include(store.content_hash) for store in stores] == [True, True, False]
        assert FrameSpec.of(stores[0]).include(stores[0].content_hash)

    def test_weights_are_taken_in_lowest_terms(self, stores):
        one, other = join_stores(stores, (2, 4, 6)), join_stores(stores, [1, 2, 3])
        assert one.weights == (1, 2, 3) and one.content_hash == other.content_hash

    def test_a_run_is_not_resumed_with_other_weights(self, tmp_path, stores):
        def folder(weights):
            spec = FrameSpec.of(join_stores(stores, weights))
            return KeypointFolder(tmp_path / "run", tiny_config(), spec)

        run_folder(KeypointFolder, tmp_path / "run", tiny_config(), folder((2, 1, 1)).frames)
        assert not folder((2, 1, 1)).compare()
        with refuses("weights was (2, 1, 1), now (1, 1, 2)", settings=["logdir"]):
            folder((1, 1, 2)).compare()
        with refuses("frames were others", "now ()", settings=["logdir"]):
            folder(()).compare()

    def test_games_are_named_together(self, tmp_path, stores):
        other = write_store(tmp_path / "sea", seed=9, game="Sea_Quest")
        spec = FrameSpec.of(join_stores([stores[0], other, stores[1]]))
        assert spec.game == "toy+seaquest" and spec.games == ("toy", "seaquest")


class TestRefused:
    def test_frames_of_another_kind(self, tmp_path, stores):
        grey = write_store(tmp_path / "grey", channels=1)
        with refuses(stores[0].path, "channels=3", f"{tmp_path / 'grey'} with 1"):
            join_stores([stores[0], grey])

    @pytest.mark.parametrize("weights", [(1, 2), (1, 0, 2), (1, -1, 1), (0.5, 1, 1)])
    def test_wrong_weights(self, stores, weights):
        with refuses("3 stores", settings=["weights"]):
            join_stores(stores, weights)

    def test_the_same_frames_twice_and_one_store(self, stores):
        with refuses(stores[0].path, "same frames"):
            join_stores([stores[0], stores[1], stores[0]])
        with refuses("at least two"):
            join_stores(stores[:1])

    @pytest.mark.parametrize("length", [45, 20])  # more and fewer than the actions compared
    @pytest.mark.parametrize("with_actions", [False, True])
    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_what_one_holds_out_the_other_trains_on(self, tmp_path, with_actions, split, length):
        rng = np.random.default_rng(0)
        games = [np.r_[7, 7, rng.integers(9, 250, 60)] for _ in range(8)]  # they begin alike
        splits = collections.defaultdict(lambda: [games[1]], {"train": [games[0]]})
        splits[split] = [games[2][:length]]  # cut, as the last episode of a split may be
        one = play(tmp_path / "one", splits, with_actions)
        longer = {"train": games[2:6], "validation": [games[6]], "test": [games[7]]}
        other = play(tmp_path / "other", longer, with_actions)
        number = {"validation": 1, "test": 2}[split]
        told = f"episode {number} of the first", f"its {split} split"
        for stores in ([one, other], [other, one]):
            with refuses(*told):
                join_stores(stores)

    @pytest.mark.parametrize("with_actions", [False, True])
    def test_games_that_only_begin_alike_are_not(self, tmp_path, with_actions):
        rng = np.random.default_rng(0)
        games = [np.r_[[7] * 20, rng.integers(9, 250, 30)] for _ in range(6)]
        halves = [
            dict(zip(SPLITS, ([g] for g in part), strict=True))
            for part in np.split(np.array(games), 2)
        ]
        one, other = (
            play(tmp_path / name, half, with_actions)
            for name, half in zip(("one", "other"), halves, strict=True)
        )
        assert len(join_stores([one, other]).frames) == 300

    @pytest.mark.parametrize("with_actions", [False, True])
    def test_whole_episodes_of_a_few_frames_are_compared(self, tmp_path, with_actions):
        games = [np.full(6, brightness) for brightness in (10, 20, 30, 40, 50)]
        one = play(
            tmp_path / "one", dict(zip(SPLITS, ([g] for g in games[:3]), strict=True)), with_actions
        )
        other = {"train": games[2:4], "validation": [games[4]], "test": [games[4] + 1]}
        with refuses("its test split"):
            join_stores([one, play(tmp_path / "other", other, with_actions)])

    @pytest.mark.parametrize("with_actions", [False, True])
    def test_a_few_frames_as_games_begin_are_held_out(self, tmp_path, with_actions):
        rng = np.random.default_rng(0)
        games = [np.r_[[7] * 7, rng.integers(9, 250, 43)] for _ in range(6)]
        one = play(
            tmp_path / "one", dict(zip(SPLITS, ([g] for g in games[:3]), strict=True)), with_actions
        )
        cut = {"train": [games[3]], "validation": [games[4]], "test": [games[5][:7]]}
        assert len(join_stores([one, play(tmp_path / "other", cut, with_actions)]).frames) == 257


class TestCommandLine:
    def request(self, tmp_path, *stores, **flags):
        names = ",".join(str(store.path) for store in stores)
        common = {"num_keypoints": 3, "image_size": 20, "game": "toy", "source": "images"}
        common |= {"images": tmp_path, "data_dir": names, "logdir": tmp_path / "run"}
        return parsed(keypoint_flags, **common | flags)

    def test_stores_are_joined_with_their_weights(self, tmp_path, stores):
        store = requests.open_store(self.request(tmp_path, *stores, data_weights="2,1,1"))
        assert store.content_hash == join_stores(stores, (2, 1, 1)).content_hash

    def test_one_store_is_itself(self, tmp_path, stores):
        store = requests.open_store(self.request(tmp_path, stores[1]))
        assert store.content_hash == stores[1].content_hash

    def test_a_folder_with_a_comma_in_its_name_is_one_store(self, tmp_path):
        store = write_store(tmp_path / "a,b")
        assert requests.open_store(self.request(tmp_path, store)).path == store.path

    def test_games_have_to_be_named(self, tmp_path, stores):
        both = stores[0], write_store(tmp_path / "sea", seed=9, game="seaquest")
        with refuses("game=toy+seaquest", settings=["game"]):
            requests.open_store(self.request(tmp_path, *both))
        assert requests.open_store(self.request(tmp_path, *both, game="Toy+Sea_quest"))

    def test_a_store_of_several_is_not_collected(self, tmp_path, stores):
        request = self.request(tmp_path, stores[0], stores[1]._replace(path=tmp_path / "none"))
        assert request.is_missing
        with refuses(f"data_dir={tmp_path / 'none'}", settings=["data_dir", "collect"]) as caught:
            requests.open_store(request)
        # The last word: collecting is no way here.
        assert str(caught.value).endswith(f"--out={tmp_path / 'none'}`")

    def test_several_games_are_not_played_at_once(self, tmp_path, stores):
        games = {"game": "breakout+pong", "source": "ale", "images": ""}
        request = self.request(tmp_path, stores[0]._replace(path=tmp_path / "new"), **games)
        with refuses(
            f"data_dir={tmp_path / 'new'}", "one by one", "run.data", settings=["data_dir"]
        ):
            requests.check_places(request)

    def test_weights_of_one_store_are_refused(self, tmp_path, stores):
        with refuses("one store", stores[0].path, settings=["data_dir", "data_weights"]):
            requests.open_store(self.request(tmp_path, stores[0], data_weights="1"))
        with refuses("data_weights=1,2,3", "2 stores", settings=["data_weights"]):
            requests.open_store(self.request(tmp_path, *stores[:2], data_weights="1,2,3"))
        with refuses("--data_weights=1,x"):
            self.request(tmp_path, *stores[:2], data_weights="1,x")

    def test_flags_that_a_store_makes_useless_are_told_but_no_others(self, tmp_path, stores):
        """A preset's policy does nothing in an environment of one's own; JSON may have spaces."""
        asked = {"source": "gymnasium", "env_id": "a:B-v0", "policy": "random", "images": ""}
        asked["num_frames"] = 60
        request = self.request(tmp_path, stores[0], **asked, env_kwargs='{ "size":8 }')
        made = request.collection.to_dict() | {"env_kwargs": '{"size": 8}'}
        del made["policy"]
        store = stores[0]._replace(manifest=stores[0].manifest | {"config": made})
        assert requests.notes_on(store, request) == []
        other = self.request(tmp_path, store, **asked, env_kwargs='{"size": 9}')
        assert requests.notes_on(store, other) == []  # as if a flag file had given it
        other = dataclasses.replace(other, typed=frozenset(["env_kwargs"]))
        (note,) = requests.notes_on(store, other)
        assert note == f'{store.path} exists, with env_kwargs={{"size": 8}}; env_kwargs is not used'
        spelled = self.request(tmp_path, store, **asked | {"game": "T-Oy"}, env_kwargs="")
        spelled = dataclasses.replace(spelled, typed=frozenset(["game"]))
        assert made["game"] == "toy" and requests.notes_on(store, spelled) == []
