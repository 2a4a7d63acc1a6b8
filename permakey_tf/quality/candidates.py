"""What is scored on a footage: centres, whose they are, and how their maker saw the frames."""

from typing import Any, NamedTuple

import numpy as np

from permakey_tf.configs.quality import QualityConfig
from permakey_tf.data.noise import Bars, bar_positions, draw_bars_at
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.quality.footage import Footage
from permakey_tf.system.seeds import Stream, stream
from permakey_tf.types import Keypoints


class Candidate(NamedTuple):
    """Centres to be scored, with all that the judge asks of their maker.

    name: of the run, file or baseline.
    variant: "" for the centres themselves, otherwise which control they are; and "tracked", alone
      or behind it, where a tracker has given them another order.
    kind: "run", "keypoints" (a file), "control" or "baseline".
    family: the same for runs of equal settings on equal frames, which differ in their training
      seed; "" for all that is no run's.
    format: how their maker saw the frames.
    bars: that it saw on the scored frames; none where the format has no noise.
    scored_centers: float [N, K, 2], in the scored frames.
    fitting_centers: float [F, K, 2], in the frames that the probe and the threshold of confidence
      are fitted on; None where there are none.
    about: JSON-compatible description.
    scored_confidence: float [N, K] in [0, 1]; None where their maker has none.
    fitting_confidence: float [F, K]; None as well, or where there are no fitting centres.
    """

    name: str
    variant: str
    kind: str
    family: str
    format: FrameFormat
    bars: Bars
    scored_centers: np.ndarray
    fitting_centers: np.ndarray | None
    about: dict[str, Any]
    scored_confidence: np.ndarray | None = None
    fitting_confidence: np.ndarray | None = None

    @property
    def num_keypoints(self) -> int:
        """K."""
        return self.scored_centers.shape[1]

    def with_keypoints(self, scored: Keypoints, fitting: Keypoints) -> "Candidate":
        """The same maker's other keypoints, of the same frames."""
        scored_centers, scored_confidence = scored
        fitting_centers, fitting_confidence = fitting
        return self._replace(
            scored_centers=scored_centers,
            fitting_centers=fitting_centers,
            scored_confidence=scored_confidence,
            fitting_confidence=fitting_confidence,
        )


class SeenFrames:
    """A footage's frames as the makers of candidates see them, prepared once for each format.

    Attributes:
      footage: the frames and boxes.
      config: settings of the benchmark.
      scored_rows: rows that are scored.
      fitting_rows: rows that the probe and the threshold of confidence are fitted on.
    """

    def __init__(self, footage: Footage, config: QualityConfig):
        self.footage, self.config = footage, config
        self.scored_rows = footage.scored_rows
        self.fitting_rows = footage.fitting_rows[: config.probe_frames]
        self._prepared: dict[tuple, np.ndarray] = {}

    def frames(self, frame_format: FrameFormat, rows: range) -> np.ndarray:
        """uint8 [len(rows), S, S, C], with bars where the format has noise."""
        key = (rows, frame_format.shape)
        if key not in self._prepared:
            self._prepared[key] = self.footage.prepared(rows, frame_format)
        return draw_bars_at(self._prepared[key], self.bars(frame_format, rows))

    def bars(self, frame_format: FrameFormat, rows: range) -> Bars:
        """The same for all who see the frames like this, so that seeds can be compared."""
        rng = self.rng(Stream.SCORED_BARS if rows == self.scored_rows else Stream.FITTED_BARS)
        size = frame_format.size
        return bar_positions(len(rows), size, size, frame_format.noise, rng)

    def rng(self, purpose: Stream) -> np.random.Generator:
        """Random numbers of one purpose, from the beginning."""
        return stream(self.config.quality_seed, purpose)
