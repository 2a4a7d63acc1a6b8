"""TensorBoard's files: written record by record, and cut back to a step when a run resumes.

Not by tf.summary's writer: of a record that does not fit on the disk it may say nothing (TensorFlow
2.21 drops the answer to the write of anything larger than a buffer, such as an image).
"""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.image.metadata import create_summary_metadata
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

from permakey_tf.system import files

_VERSION = "brain.Event:2"  # of the format: summaries are tensors
_IMAGES = create_summary_metadata(display_name=None, description=None).plugin_data.plugin_name


class EventFile:
    """A new file of TensorBoard's in a folder, which is made where it is missing.

    Raises:
      UserError: it cannot be written, from here on.
    """

    def __init__(self, folder: Path):
        files.make_folder(folder)
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.v2"
        self.path = folder / name
        with files.writing(self.path):
            self._file = self.path.open("ab")
        self._write(Event(wall_time=time.time(), file_version=_VERSION))

    def add(self, step: int, *summaries: Summary) -> None:
        """Hands summaries of a step to the system."""
        for summary in summaries:
            self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Writes what is left, and closes the file."""
        with files.writing(self.path):
            self._file.close()

    def _write(self, event):
        with files.writing(self.path):
            writer = RecordWriter(self._file)
            writer.write(event.SerializeToString())
            writer.flush()


def image_summary(tag: str, image: np.ndarray) -> Summary:
    """uint8 [H, W, 3] as tf.summary.image has it: width, height, PNG."""
    height, width, _ = image.shape
    png = tf.io.encode_png(image).numpy()
    tensor = make_tensor_proto([str(width).encode(), str(height).encode(), png], np.object_)
    metadata = create_summary_metadata(display_name=None, description=None)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])


def keep_events(folder: Path, last: int) -> int:
    """Drops from TensorBoard's files what a run that goes on after step `last` writes again.

    That is all later steps, the settings (at step 0, where images alone stay), all where nothing
    was trained, and what stands twice.

    TensorBoard's own mark of a restart (SessionLog.START) is no way out: readers of the files do
    not heed it, nor does TensorBoard's EventAccumulator (2.21) for what TensorFlow 2 writes.

    Returns:
      the last step of which anything stays; 0 where that is step 0, or nothing does.

    Raises:
      UserError: a file cannot be written; it is as it was then.
    """
    seen = set()

    def is_kept(event):
        if event.HasField("file_version"):
            return True
        key = event.step, *(value.tag for value in event.summary.value)
        known = key in seen
        seen.add(key)
        stays = last > 0 and (event.step > 0 or _is_image(event))
        return stays and event.step <= last and not known

    for path in sorted(folder.glob("*tfevents*")):
        kept = [is_kept(event) for event, _ in _events_of(path)]
        if sum(kept) <= 1:  # the version alone
            path.unlink()
        elif not all(kept):
            with files.replaced(path) as file:
                writer = RecordWriter(file)
                for stays, (_, record) in zip(kept, _events_of(path), strict=True):
                    if stays:
                        writer.write(record)
    return max((step for step, *_ in seen if 0 < step <= last), default=0)


def _is_image(event: Event) -> bool:
    return any(v.metadata.plugin_data.plugin_name == _IMAGES for v in event.summary.value)


def _events_of(path: Path) -> Iterator[tuple[Event, bytes]]:
    """Events and their bytes, in the order of the file, up to a record that is cut off."""
    for record in RawEventFileLoader(str(path)).Load():
        yield Event.FromString(record), record
