"""libnbd's shell, request by request. The module is the system Python's, so each script is a process."""

import textwrap

import pytest

from support.peers import SYSTEM_PYTHON
from support.site import Site

SIZE = 8 << 20

PRELUDE = """
import errno, nbd, sys
def failure(call, *arguments):
    try:
        call(*arguments)
    except nbd.Error as error:
        return error.errnum
h = nbd.NBD()
h.set_export_name(sys.argv[2])
"""


def shell(site: Site, name: str, script: str, export_name: str = "") -> str:
    code = PRELUDE + textwrap.dedent(script).replace("CONNECT", "h.connect_unix(sys.argv[1])")
    return site.run(SYSTEM_PYTHON, "-c", code, site.path(f"{name}.nbd"), export_name).stdout


@pytest.fixture(params=["export", "mirror"])
def served(request: pytest.FixtureRequest, site: Site) -> str:
    """An export, or a mirror over two exports: the same requests, the same answers."""
    if request.param == "export":
        site.export(site.file("export.img", SIZE), "export")
    else:
        for leaf in "ab":
            site.export(site.file(f"{leaf}.img", SIZE), leaf)
        site.array("mirror", "mirror", site.dst("a"), site.dst("b"), "--assume-clean")
    return str(request.param)


def test_every_request_does_what_it_says(site: Site, served: str) -> None:
    script = """
        CONNECT
        h.pwrite(b"abc" * 1001, 4095)
        assert h.pread(3003, 4095) == b"abc" * 1001
        h.pwrite(b"X" * 10, 4096, nbd.CMD_FLAG_FUA)
        assert h.pread(12, 4095) == b"a" + b"X" * 10 + b"c"
        h.zero(5, 4097)
        assert h.pread(12, 4095) == b"aX" + bytes(5) + b"XXXXc"
        h.zero(3, 4095, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE)
        assert h.pread(4, 4095) == bytes(4)
        h.pwrite(b"z" * 65536, 1 << 20)
        h.trim(65536, 1 << 20, nbd.CMD_FLAG_FUA)
        assert set(h.pread(65536, 1 << 20)) <= {0, ord("z")}
        h.flush()
        if h.can_cache():
            h.cache(65536, 0)
        h.shutdown()
    """
    shell(site, served, script)


def test_structured_replies_and_contexts_are_declined_without_harm(site: Site, served: str) -> None:
    script = """
        h.add_meta_context("base:allocation")
        CONNECT
        assert h.get_protocol() == "newstyle-fixed"
        assert h.get_structured_replies_negotiated() is False
        assert h.can_meta_context("base:allocation") is False
        h.pwrite(b"fine", 0)
        assert h.pread(4, 0) == b"fine"
        h.shutdown()
    """
    shell(site, served, script)


def test_requests_out_of_range_fail_and_the_connection_lives_on(site: Site, served: str) -> None:
    script = f"""
        CONNECT
        h.set_strict_mode(0)
        assert failure(h.pread, 2, {SIZE - 1}) == errno.EINVAL
        assert failure(h.pread, 1, 1 << 62) == errno.EINVAL
        assert failure(h.pwrite, b"xx", {SIZE - 1}) in (errno.ENOSPC, errno.EINVAL)
        assert failure(h.trim, 2, {SIZE - 1}) in (errno.ENOSPC, errno.EINVAL)
        assert failure(h.zero, 2, {SIZE - 1}) in (errno.ENOSPC, errno.EINVAL)
        assert failure(h.pread, 1, 0, 0x8000) == errno.EINVAL
        h.pwrite(b"last", {SIZE - 4})
        assert h.pread(4, {SIZE - 4}) == b"last"
        h.shutdown()
    """
    shell(site, served, script)


def test_the_largest_request_passes_and_a_larger_one_is_refused(site: Site) -> None:
    site.export(site.file("big.img", 80 << 20), "big")
    script = """
        CONNECT
        most = h.get_block_size(nbd.SIZE_MAXIMUM)
        assert most == 32 << 20, most
        data = bytes(range(256)) * (most // 256)
        h.pwrite(data, 1)
        assert h.pread(most, 1) == data
        h.set_strict_mode(0)
        assert failure(h.pread, most + 1, 0) in (errno.EINVAL, errno.EOVERFLOW)
        h.shutdown()
    """
    shell(site, "big", script)


def test_many_requests_in_flight_are_each_answered_once(site: Site, served: str) -> None:
    script = """
        CONNECT
        answered = []
        def done(number, error):
            answered.append(number)
            return 1
        for number in range(2000):
            data = nbd.Buffer.from_bytearray(bytearray(number.to_bytes(2, "big") * 300))
            h.aio_pwrite(data, number * 1000, lambda error, number=number: done(number, error))
            while h.aio_in_flight() > 200:
                h.poll(-1)
        while h.aio_in_flight():
            h.poll(-1)
        assert sorted(answered) == list(range(2000))
        for number in range(0, 2000, 97):
            assert h.pread(600, number * 1000) == number.to_bytes(2, "big") * 300
        h.shutdown()
    """
    shell(site, served, script)


def test_what_one_connection_flushed_another_reads(site: Site, served: str) -> None:
    script = """
        CONNECT
        assert h.can_multi_conn()
        second = nbd.NBD()
        second.connect_unix(sys.argv[1])
        h.pwrite(b"seen by all", 12345)
        second.flush()
        assert second.pread(11, 12345) == b"seen by all"
        second.shutdown()
        h.shutdown()
    """
    shell(site, served, script)


def test_an_export_is_found_by_its_name_and_a_wrong_name_is_refused(site: Site, served: str) -> None:
    shell(site, served, "CONNECT\nassert h.get_size() == " + str(SIZE) + "\nh.shutdown()", served)
    shell(site, served, "assert failure(h.connect_unix, sys.argv[1]) == errno.ENOENT", "nobody")


def test_a_read_only_export_takes_no_writes(site: Site) -> None:
    site.export(site.file("ro.img", SIZE, b"kept"), "ro", "--read-only")
    script = """
        CONNECT
        assert h.is_read_only()
        h.set_strict_mode(0)
        assert failure(h.pwrite, b"lost", 0) == errno.EPERM
        assert failure(h.zero, 4, 0) == errno.EPERM
        assert failure(h.trim, 4, 0) == errno.EPERM
        assert h.pread(4, 0) == b"kept"
        h.shutdown()
    """
    shell(site, "ro", script)
