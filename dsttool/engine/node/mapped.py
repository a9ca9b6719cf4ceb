"""A read-only mapping of a file, for payloads that go from the page cache to a socket uncopied."""

import ctypes
import mmap

from dsttool.engine.vocabulary import limits

_LIBC = ctypes.CDLL(None, use_errno=True)
_MINCORE = _LIBC.mincore
_MINCORE.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
_MINCORE.restype = ctypes.c_int
_PAGE = mmap.PAGESIZE

REGION_SHIFT = 21
REGION = 1 << REGION_SHIFT
# Long enough that asking costs little at any rate, short enough that memory pressure is noticed.
TRUST_NS = limits.SECOND
# A region is asked about after so many small reads since it was last known, or by one large read.
READS_MIN = 64
LARGE = 32 * limits.KIB
# Regions remembered: 32 GiB of file that is read at a time, and about 10 MiB of memory.
REGIONS_MAX = 1 << 14


class _PyBuffer(ctypes.Structure):
    """Py_buffer of the C API: the way to the address of a read-only mapping."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


class MappedFile:
    """`view` is the whole file. Touch it only from the kernel (sendmsg): elsewhere an error of the
    medium, or a file that was cut, is SIGBUS.

    Sending a page that is not in memory would block the reactor, so the pages are asked for first
    (mincore(2)), a region at a time. Asking costs as much as some 30 small reads that copy instead, so
    it is done only for regions that are read often, and an answer is believed for TRUST_NS. In that
    time the system may have dropped a page, which costs one wait for the disk, not data.
    trusted: region -> until when (ns) all of its pages count as resident. The hot path reads it.
    """

    def __init__(self, mapping: mmap.mmap, size: int) -> None:
        self.view = memoryview(mapping)
        self.trusted: dict[int, int] = {}
        self._refused: dict[int, int] = {}
        self._reads: dict[int, int] = {}
        self._size = size
        self._address = _address_of(mapping)
        self._resident = bytearray(REGION // _PAGE)
        self._vector = (ctypes.c_ubyte * len(self._resident)).from_buffer(self._resident)

    @classmethod
    def of(cls, fd: int, size: int) -> "MappedFile | None":
        """A mapping of `size` bytes, or None where the file cannot be mapped."""
        if not size:
            return None
        try:
            return cls(mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ), size)
        except (OSError, ValueError):
            return None

    def resident(self, offset: int, length: int, now: int) -> bool:
        """Whether every page of the extent is known to be in memory at `now` (ns)."""
        for region in range(offset >> REGION_SHIFT, ((offset + length - 1) >> REGION_SHIFT) + 1):
            if self.trusted.get(region, 0) <= now and not self._ask(region, length, now):
                return False
        return True

    def _ask(self, region: int, length: int, now: int) -> bool:
        if self._refused.get(region, 0) > now:
            return False
        if len(self._reads) > REGIONS_MAX:
            self._forget()
        reads = self._reads.get(region, 0) + 1
        if reads < READS_MIN and length < LARGE:
            self._reads[region] = reads
            return False
        self._reads[region] = 0
        start = region << REGION_SHIFT
        length = min(REGION, self._size - start)
        failed = _MINCORE(self._address + start, length, self._vector)
        resident = not failed and self._resident.find(0, 0, -(-length // _PAGE)) < 0
        (self.trusted if resident else self._refused)[region] = now + TRUST_NS
        return resident

    def _forget(self) -> None:
        self.trusted.clear()
        self._refused.clear()
        self._reads.clear()

    def close(self) -> None:
        """Drop the mapping as soon as nobody sends from it any more."""
        self.view = memoryview(b"")
        self._forget()


def _address_of(mapping: mmap.mmap) -> int:
    buffer = _PyBuffer()
    api = ctypes.pythonapi
    if api.PyObject_GetBuffer(ctypes.py_object(mapping), ctypes.byref(buffer), 0):
        raise BufferError("the mapping gives no buffer")
    address = int(buffer.buf or 0)
    api.PyBuffer_Release(ctypes.byref(buffer))
    return address
