"""A device that may have lost acked writes: its DST clients hear of it before they are answered again."""

from dsttool.engine.vocabulary.operations import READ
from support.array_bench import ask
from support.dst_hall import DstHall
from support.faulty_device import FaultyDevice


def test_clients_are_told_of_a_changed_verifier_before_they_are_answered_again() -> None:
    with DstHall() as hall:
        device = FaultyDevice(hall.reactor, 1 << 20, prompt=False)
        node = hall.node(hall.export(device))
        told: list[bytes] = []
        node.on_verifier = lambda: told.append(node.verifier)
        read = ask(READ, 0, 512)
        node.submit([read])
        hall.until(lambda: bool(device.waiting))
        device.verifier = b"another verifier"
        assert device.on_verifier is not None
        device.on_verifier()
        device.answer()
        hall.until(lambda: bool(told))
        assert told == [b"another verifier"]
        assert not read.cookie.ends
        hall.until(lambda: bool(device.waiting))
        device.answer()
        hall.wait(read)
