"""What is counted of an export: exactly what its clients asked for, over both protocols."""

import errno
from collections.abc import Iterator

import pytest
from nbd_hall import SIZE, Hall, HeldDevice, packed

from dsttool.engine.export.offer import Offer
from dsttool.engine.node.listing import client_of
from dsttool.engine.transaction.latency import bucket_of
from dsttool.engine.vocabulary.limits import MS
from dsttool.engine.vocabulary.operations import CACHE, FLUSH, READ, TRIM, WRITE
from support.dst_hall import DstHall
from support.dst_strangers import RawClient, head, requests
from support.faulty_device import FaultyDevice

US = 1000


@pytest.fixture
def hall() -> Iterator[DstHall]:
    with DstHall() as hall:
        yield hall


@pytest.fixture
def client(hall: DstHall) -> Iterator[RawClient]:
    client = RawClient(hall, hall.export(FaultyDevice(hall.reactor, 1 << 20)))
    client.welcome()
    yield client
    client.close()


def shown(offer: Offer) -> dict[str, int]:
    """The counters that are not 0."""
    status = offer.status()
    names = ("reads", "read_bytes", "writes", "written_bytes", "errors")
    return {name: status[name] for name in names if status[name]}


def test_requests_over_nbd_count_as_what_they_are() -> None:
    with Hall(HeldDevice()) as hall:
        client = hall.client()
        device = hall.device
        assert isinstance(device, HeldDevice)
        client.say(packed(WRITE, 0, 3) + b"abc" + packed(READ, 0, 512) + packed(READ, 8, 100))
        client.say(packed(FLUSH, 0, 0) + packed(TRIM, 0, 4096))
        hall.until(lambda: len(device.held) == 5)
        assert shown(hall.offer) == {}
        device.release()
        assert shown(hall.offer) == {"reads": 2, "read_bytes": 612, "writes": 1, "written_bytes": 3}
        assert sum(hall.offer.latencies.counts) == 5
        client.say(packed(READ, SIZE, 512))  # outside: refused
        hall.until(lambda: hall.offer.figures.errors == 1)
        client.say(packed(READ, 0, 512))
        hall.until(lambda: bool(device.held))
        device.held[0].error = errno.EIO
        device.release()
        assert shown(hall.offer) == {
            "reads": 2,
            "read_bytes": 612,
            "writes": 1,
            "written_bytes": 3,
            "errors": 2,
        }
        assert sum(hall.offer.latencies.counts) == 5


def test_the_time_of_a_request_runs_from_its_arrival_to_its_answer() -> None:
    with Hall(HeldDevice()) as hall:
        hall.reactor.clock = lambda: hall.reactor.now + 70 * US
        client = hall.client()
        device = hall.device
        assert isinstance(device, HeldDevice)
        client.say(packed(READ, 0, 512))
        hall.until(lambda: len(device.held) == 1)
        first = hall.reactor.now
        hall.until(lambda: hall.reactor.now - first > 2 * MS, timeout=3 * MS)
        client.say(packed(READ, 0, 512))
        hall.until(lambda: len(device.held) == 2)
        last = hall.reactor.now
        device.release()
        counts = hall.offer.latencies.counts
        assert counts[bucket_of(last - first + 70 * US)] == 1
        assert counts[bucket_of(70 * US)] == 1


def test_requests_over_dst_count_as_what_they_are(client: RawClient, hall: DstHall) -> None:
    offer = hall.exports[0].offer
    client.say(requests(head(WRITE, 0, 3, id_=1), head(READ, 0, 512, id_=2), payload=b"abc"))
    client.say(requests(head(FLUSH, 0, 0, id_=3), head(TRIM, 0, 512, id_=4), head(CACHE, 0, 512, id_=5)))
    client.answers(5)
    assert shown(offer) == {"reads": 1, "read_bytes": 512, "writes": 1, "written_bytes": 3}
    assert sum(offer.latencies.counts) == 5
    client.say(requests(head(READ, 1 << 20, 512, id_=6)))
    client.answers(1)
    assert shown(offer)["errors"] == 1


def test_a_change_that_is_asked_for_again_does_not_count_again(client: RawClient, hall: DstHall) -> None:
    offer = hall.exports[0].offer
    device = offer.device
    assert isinstance(device, FaultyDevice)
    device.fail(errno.ENOSPC, lambda request: request.offset == 512)
    asked = requests(head(WRITE, 0, 1, id_=1), head(WRITE, 512, 1, id_=2), payload=b"ab")
    for _ in range(2):
        client.say(asked)
        assert [status for _, status, _ in client.answers(2)] == [0, errno.ENOSPC]
        assert shown(offer) == {"writes": 1, "written_bytes": 1, "errors": 1}
    assert sum(offer.latencies.counts) == 1


def test_the_client_of_a_request_is_found_where_its_answer_goes(client: RawClient, hall: DstHall) -> None:
    device = hall.exports[0].offer.device
    assert isinstance(device, FaultyDevice)
    device.prompt = False
    client.say(requests(head(READ, 0, 512, id_=1)))
    hall.until(lambda: bool(device.waiting))
    (session,) = hall.exports[0].offer.status()["sessions"]
    assert client_of(device.waiting[0]) == session["peer"]
    with Hall(HeldDevice()) as nbd:
        nbd.client().say(packed(READ, 0, 512))
        held = nbd.device
        assert isinstance(held, HeldDevice)
        nbd.until(lambda: bool(held.held))
        assert client_of(held.held[0]) == "test"
        held.release()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of requests that failed."""
    kind = "client.failing"
    return [each.getMessage() for each in caplog.records if getattr(each, "event_kind", "") == kind]


def test_that_requests_of_dst_clients_fail_is_told_but_not_of_each(
    client: RawClient, hall: DstHall, caplog: pytest.LogCaptureFixture
) -> None:
    offer = hall.exports[0].offer
    device = offer.device
    assert isinstance(device, FaultyDevice)
    device.fail(errno.ENOSPC, WRITE)
    for id_ in (1, 2):
        client.say(requests(head(WRITE, 0, 1, id_=id_), payload=b"a"))
        client.answers(1)
    assert told(caplog) == [
        f"{offer.name}: requests of clients fail: No space left on device (errors so far: 1)"
    ]


def test_that_requests_of_nbd_clients_fail_is_told_but_not_what_cannot_be_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Hall(HeldDevice()) as hall:
        client = hall.client()
        device = hall.device
        assert isinstance(device, HeldDevice)
        for error in (errno.EOPNOTSUPP, errno.EIO, errno.EIO):
            client.say(packed(READ, 0, 512))
            hall.until(lambda: bool(device.held))
            device.held[0].error = error
            device.release()
        assert told(caplog) == [
            f"{hall.offer.name}: requests of clients fail: Input/output error (errors so far: 2)"
        ]
