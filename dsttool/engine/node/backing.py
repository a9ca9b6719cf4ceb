"""The system's side of a file device: opening, locking, and the calls that may block.

Calls return 0 or an errno and run in the I/O pool; none of them touches state of the engine.
"""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dsttool.engine.device.device import Capabilities
from dsttool.engine.node.identity import identity_of
from dsttool.engine.node.users import user_of
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, UsageError, from_oserror
from dsttool.engine.vocabulary.operations import FAST_ZERO, NO_HOLE

# linux/falloc.h and linux/fs.h
_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 0x01, 0x02, 0x10
_BLKDISCARD, _BLKSSZGET, _BLKROGET = 0x1277, 0x1268, 0x125E
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV, errno.ENOTTY)

_FALLOCATE = ctypes.CDLL(None, use_errno=True).fallocate
_FALLOCATE.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_FALLOCATE.restype = ctypes.c_int

_ZEROES = memoryview(bytes(limits.MIB))


@dataclass(frozen=True, slots=True)
class Backing:
    """An opened, locked file or block device.

    nowait: whether reads answer RWF_NOWAIT; a memory-backed file does not, and never blocks.
    sector: alignment of trims and zeroes in bytes, 1 for files.
    """

    path: str
    fd: int
    capabilities: Capabilities
    nowait: bool
    block_device: bool
    sector: int
    # Whether the kernel tells us which of its pages are in memory (mincore(2): the owner and who may
    # write; others are told that all are).
    tells_residency: bool
    identity: bytes
    # Descriptors that no sync uses at present; see `_own`.
    _idle: deque[int] = field(default_factory=deque)

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill the view from `offset`."""
        done = 0
        while done < len(view):
            got = os.preadv(self.fd, (view[done:],), offset + done)
            if not got:
                return errno.EIO  # the file was cut under us
            done += got
        return 0

    def write(self, data: memoryview, offset: int, *, sync: bool) -> int:
        """Write all of `data`; with sync it is on stable storage when this returns (RWF_DSYNC)."""
        if not sync:
            return self._write(self.fd, data, offset, 0)
        with self._own() as fd:
            return self._write(fd, data, offset, os.RWF_DSYNC)

    def _write(self, fd: int, data: memoryview, offset: int, flags: int) -> int:
        done = 0
        while done < len(data):
            done += os.pwritev(fd, (data[done:],), offset + done, flags)
        return 0

    @contextmanager
    def _own(self) -> Iterator[int]:
        """An open file that nobody else syncs meanwhile.

        The kernel tells of a failed write-back once per open file (fsync(2)): of two syncs that share
        one, the wrong one might be told, and the other succeed though its data is gone.
        """
        try:
            fd = self._idle.pop()
        except IndexError:
            mode = os.O_RDONLY if self.capabilities.read_only else os.O_RDWR
            fd = os.open(f"/proc/self/fd/{self.fd}", mode | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            self._idle.append(fd)

    def write_rest(self, data: memoryview, offset: int, done: int) -> int:
        """Continue a write of which only `done` bytes went; tells why it cannot."""
        try:
            return self.write(data[done:], offset + done, sync=False)
        except OSError as error:
            return error.errno or errno.EIO

    def flush(self) -> int:
        """All acked writes to stable storage (fdatasync)."""
        with self._own() as fd:
            os.fdatasync(fd)
        return 0

    def trim(self, offset: int, length: int, _flags: int) -> int:
        """Release the space. Advisory: what cannot be released is left as it is."""
        start, end = self._inward(offset, length)
        if start >= end:
            return 0
        if self.block_device:
            try:
                fcntl.ioctl(self.fd, _BLKDISCARD, struct.pack("QQ", start, end - start))
                code = 0
            except OSError as error:
                code = error.errno or errno.EIO
        else:
            code = self._fallocate(_PUNCH_HOLE | _KEEP_SIZE, start, end - start)
        return 0 if code in _UNSUPPORTED else code

    def write_zeroes(self, offset: int, length: int, flags: int) -> int:
        """Make the extent read as zeroes; NO_HOLE keeps its space allocated."""
        start, end = self._inward(offset, length)
        if start >= end:
            return self._zero_by_writing(offset, length)  # less than two sectors
        mode = _ZERO_RANGE if flags & NO_HOLE else _PUNCH_HOLE
        code = self._fallocate(mode | _KEEP_SIZE, start, end - start)
        if code in _UNSUPPORTED or (self.block_device and code == errno.EINVAL):
            if flags & FAST_ZERO:
                return errno.ENOTSUP
            return self._zero_by_writing(offset, length)
        if code:
            return code
        self._zero_by_writing(offset, start - offset)
        return self._zero_by_writing(end, offset + length - end)

    def prefetch(self, offset: int, length: int) -> int:
        """Start reading the extent into the page cache."""
        os.posix_fadvise(self.fd, offset, length, os.POSIX_FADV_WILLNEED)
        return 0

    def close(self) -> None:
        """Release the device and its lock."""
        while self._idle:
            os.close(self._idle.pop())
        os.close(self.fd)

    def _inward(self, offset: int, length: int) -> tuple[int, int]:
        """The part of the extent made of whole sectors."""
        sector = self.sector
        return -(-offset // sector) * sector, (offset + length) // sector * sector

    def _fallocate(self, mode: int, offset: int, length: int) -> int:
        return ctypes.get_errno() if _FALLOCATE(self.fd, mode, offset, length) else 0

    def _zero_by_writing(self, offset: int, length: int) -> int:
        end = offset + length
        while offset < end:
            offset += os.pwrite(self.fd, _ZEROES[: min(end - offset, len(_ZEROES))], offset)
        return 0


def open_backing(path: str, *, read_only: bool, size: int | None) -> Backing:
    """Open and lock `path`; create it sparse with `size` bytes if it is not there.

    Raises Conflict when somebody else uses it (naming them), UsageError when `size` contradicts an
    existing one, NotFound, Forbidden.
    """
    created = False
    if size is not None and not os.path.lexists(path):
        created = True
    fd = _open(path, read_only=read_only, create=created)
    try:
        _lock(fd, path, shared=read_only)
        if created and size is not None:
            _make_sparse(fd, path, size)
        return _describe(fd, path, read_only=read_only, size=size)
    except BaseException:
        os.close(fd)
        if created:
            os.unlink(path)
        raise


def _open(path: str, *, read_only: bool, create: bool) -> int:
    flags = os.O_CLOEXEC | os.O_NOCTTY | (os.O_RDONLY if read_only else os.O_RDWR)
    try:
        if create:
            return os.open(path, flags | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        mode = os.stat(path).st_mode
        _check_kind(path, mode)  # before it is opened: a pipe would be waited for
        return os.open(path, flags | (os.O_EXCL if stat.S_ISBLK(mode) else 0))
    except OSError as error:
        if error.errno == errno.EBUSY:
            user = user_of(path)
            raise Conflict(
                f"Cannot use {path}: it is in use{f' ({user})' if user else ''}.",
                "Unmount it or stop its user first.",
            ) from error
        if error.errno == errno.EROFS:
            raise Conflict(
                f"Cannot write to {path}: it is read-only.",
                "Add --read-only; or if systemd started this, ReadWritePaths= of its unit.",
            ) from error
        raise from_oserror(error, f"open {path}") from error


def _check_kind(path: str, mode: int) -> None:
    if not stat.S_ISBLK(mode) and not stat.S_ISREG(mode):
        raise UsageError(f"{path} is neither a file nor a block device.", "Give one of these.")


def _lock(fd: int, path: str, *, shared: bool) -> None:
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        user = user_of(path)
        raise Conflict(
            f"Cannot use {path}: another process has locked it{f' ({user})' if user else ''}.",
            "Stop that process first.",
        ) from error


def _make_sparse(fd: int, path: str, size: int) -> None:
    try:
        os.ftruncate(fd, size)
        os.fsync(fd)
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise from_oserror(error, f"create {path} with {size} bytes") from error


def _describe(fd: int, path: str, *, read_only: bool, size: int | None) -> Backing:
    found = os.fstat(fd)
    _check_kind(path, found.st_mode)
    block_device = stat.S_ISBLK(found.st_mode)
    actual = os.lseek(fd, 0, os.SEEK_END)
    if not actual:
        raise UsageError(f"{path} is empty.", f"Give it a size first, for example: truncate -s 1G {path}")
    if size is not None and size != actual:
        raise UsageError(
            f"{path} has {actual} bytes, not the {size} of --size.", "Leave --size out, or resize it first."
        )
    sector = 1
    queue: str | None = None
    if block_device:
        sector = _ioctl_int(fd, _BLKSSZGET)
        read_only = read_only or bool(_ioctl_int(fd, _BLKROGET))
        queue = _queue_of(found.st_rdev)
    trims = queue is None or _read_int(f"{queue}/discard_max_bytes") > 0
    capabilities = Capabilities(
        size=actual,
        read_only=read_only,
        trim=trims,
        fast_zero=queue is None or _read_int(f"{queue}/write_zeroes_max_bytes") > 0,
        rotational=queue is not None and _read_int(f"{queue}/rotational") == 1,
    )
    tells = found.st_uid == os.geteuid() or os.access(path, os.W_OK)
    return Backing(
        path, fd, capabilities, _reads_nowait(fd), block_device, sector, tells, identity_of(path, found)
    )


def _reads_nowait(fd: int) -> bool:
    try:
        os.preadv(fd, (bytearray(1),), 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
            return False
        raise DsttoolError(
            f"Cannot read the first byte: {os.strerror(error.errno or 0)}.", "Check the medium."
        ) from error
    return True


def _ioctl_int(fd: int, request: int) -> int:
    value: int = struct.unpack("i", fcntl.ioctl(fd, request, bytes(4)))[0]
    return value


def _queue_of(device: int) -> str | None:
    """The queue's folder in sysfs; a partition has its disk's."""
    folder = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
    for queue in (f"{folder}/queue", f"{folder}/../queue"):
        if os.path.isdir(queue):
            return queue
    return None


def _read_int(path: str) -> int:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0
