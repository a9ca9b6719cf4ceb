"""A read-only mapping of a file, for payloads that go from the page cache to a socket uncopied."""

import ctypes
import mmap

_LIBC = ctypes.CDLL(None, use_errno=True)
_MINCORE = _LIBC.mincore
_MINCORE.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
_MINCORE.restype = ctypes.c_int
_PAGE = mmap.PAGESIZE


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
    medium, or a file that was cut, is SIGBUS."""

    def __init__(self, mapping: mmap.mmap) -> None:
        self.view = memoryview(mapping)
        self._address = _address_of(mapping)
        self._resident = bytearray(1)
        self._vector = (ctypes.c_ubyte * 1).from_buffer(self._resident)

    @classmethod
    def of(cls, fd: int, size: int) -> "MappedFile | None":
        """A mapping of `size` bytes, or None where the file cannot be mapped."""
        if not size:
            return None
        try:
            return cls(mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ))
        except (OSError, ValueError):
            return None

    def resident(self, offset: int, length: int) -> bool:
        """Whether every page of the extent is in memory (mincore(2))."""
        start = offset - offset % _PAGE
        pages = (offset + length - start + _PAGE - 1) // _PAGE
        if pages > len(self._resident):
            self._resident = bytearray(pages)
            self._vector = (ctypes.c_ubyte * pages).from_buffer(self._resident)
        if _MINCORE(self._address + start, offset + length - start, self._vector):
            return False
        return self._resident.find(0, 0, pages) < 0

    def close(self) -> None:
        """Drop the mapping as soon as nobody sends from it any more."""
        self.view = memoryview(b"")


def _address_of(mapping: mmap.mmap) -> int:
    buffer = _PyBuffer()
    api = ctypes.pythonapi
    if api.PyObject_GetBuffer(ctypes.py_object(mapping), ctypes.byref(buffer), 0):
        raise BufferError("the mapping gives no buffer")
    address = int(buffer.buf or 0)
    api.PyBuffer_Release(ctypes.byref(buffer))
    return address
