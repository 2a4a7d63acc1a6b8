"""Places for results, locks between processes, and bytes that must survive a power cut, on file
systems of every kind.

Many network and FUSE file systems have no locks, or cannot sync a folder. That is no fault of
what is written there; a disk that fails is. Which answer of the system means what stands here.
"""

import errno
import fcntl
import os
import tempfile
import time
from pathlib import Path

from permakey_tf.errors import UserError

_ENOTSUPP = 524  # the kernel's own ENOTSUP, which NFS and FUSE let through; it has no name
_MISSING = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, _ENOTSUPP, errno.EINVAL)
# ENOLCK, EIO, EPROTONOSUPPORT, EREMOTEIO: the server that should keep the locks cannot be reached.
# A disk that fails answers EIO too, and again when the next byte is written.
_NO_LOCKS = (*_MISSING, errno.ENOLCK, errno.EIO, errno.EPROTONOSUPPORT, errno.EREMOTEIO)
_HELD = (errno.EWOULDBLOCK, errno.EACCES)  # EACCES: where locks of whole files are emulated
_PATIENCE = 0.2  # seconds; who only looks (`is_locked`) has a lock for microseconds


def check_place(folder: str | os.PathLike, *names: str) -> None:
    """Checks that files can be written into a folder, which need not exist yet; leaves nothing.

    For before long work: afterwards it would be lost. That a file can be made is tried, in the
    folder or the nearest one above it; what the system tells of rights is not the whole truth.

    Args:
      folder: where results go.
      names: of the files to be written there.

    Raises:
      UserError: naming what is in the way.
    """
    folder = Path(folder).absolute()
    found = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not found.is_dir():
        raise UserError(f"{folder}: {found} is no folder: choose another place")
    try:
        if found != folder:
            _refuse_bad_name(folder)
        tempfile.TemporaryFile(dir=found).close()
    except OSError as error:
        raise UserError(
            f"{folder}: {found} cannot be written to ({error.strerror}): choose another place"
        ) from error
    for name in names:
        if (folder / name).is_dir():
            raise UserError(f"{folder / name} is a folder, where a file is to be written")


def _refuse_bad_name(folder: Path):
    """Raises OSError for a name that is too long."""
    try:
        folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return


def lock(file, patience: float = _PATIENCE) -> bool:
    """Locks an open, writable file for this process, until the file is closed.

    Args:
      file: the open file.
      patience: seconds to try again for, where the lock is held.

    Returns:
      False where the file system has no locks.

    Raises:
      BlockingIOError: another process holds the lock.
      OSError: any other fault of the system.
    """
    end = time.monotonic() + patience
    while (answer := _try(file, fcntl.LOCK_EX)) in _HELD:
        if time.monotonic() >= end:
            raise BlockingIOError(errno.EWOULDBLOCK, "in use by another process")
        time.sleep(_PATIENCE / 20)
    if answer and answer not in _NO_LOCKS:
        raise OSError(answer, os.strerror(answer))
    return not answer


def is_locked(file) -> bool:
    """Whether another process holds the lock of an open file; takes nothing, writes nothing."""
    answer = _try(file, fcntl.LOCK_SH)
    if not answer:
        fcntl.flock(file, fcntl.LOCK_UN)
    return answer in _HELD


def _try(file, kind) -> int:
    """0, or the number of the system's error."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno
    return 0


def sync(file) -> None:
    """Flushes an open file and hands it to the disk, where the file system can do that.

    Raises:
      OSError: the disk is full or fails.
    """
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _MISSING:
            raise


def sync_folder(path: Path) -> None:
    """Hands a folder's names to the disk, where that can be done.

    The files in it are on the disk already: a refusal costs no more than their names, after a power
    cut at this very moment, and is no reason to lose them now. So nothing is raised.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # a folder that may be written to, but not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (*_MISSING, errno.EACCES, errno.EPERM, errno.EBADF, errno.EISDIR):
            print(f"note: {path} is complete, but could not be synced ({error.strerror})")
    finally:
        os.close(descriptor)
