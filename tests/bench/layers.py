"""Nanoseconds of processor time per request and layer: no system calls, a null device, a null peer.

    python tests/bench/layers.py [--batch 32] [--size 4096]

Each layer is driven with prepared batches as the layer above would, and what it sends is dropped. The
figure is the best of several rounds, so that other load on the machine matters little. A regression of
the hot path shows here, and in which layer.
"""

import argparse
import socket
import time
from collections.abc import Callable
from typing import Any

from dsttool.engine.array.array import Array
from dsttool.engine.array.member import Member
from dsttool.engine.device.device import Capabilities, Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.export.dst_connection import DstConnection
from dsttool.engine.export.dst_server import DstServer
from dsttool.engine.export.nbd_connection import NbdConnection
from dsttool.engine.export.nbd_server import NbdServer
from dsttool.engine.export.offer import Offer
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.node.dst import DstNode
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.operations import READ, WRITE
from dsttool.engine.wire import dst_preface, dst_records, nbd
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_messages import FLOOR, REPLY, REQUEST

SIZE = 1 << 30
ROUNDS = 30


class NullDevice(Device):
    """Answers at once; reads bring one shared view."""

    def __init__(self) -> None:
        self.capabilities = Capabilities(size=SIZE)
        self.name = "null"
        self.identity = bytes(16)
        self._view = memoryview(bytearray(1 << 20))

    def submit(self, batch: list[Request]) -> None:
        view = self._view
        for request in batch:
            if request.op == READ:
                request.data = view[: request.length]
        deliver(batch)

    def close(self, done: Callable[[], None]) -> None:
        done()


def timed(work: Callable[[], Any], requests: int) -> float:
    """ns of processor time per request, best of ROUNDS."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time_ns()
        for _ in range(50):
            work()
        best = min(best, time.process_time_ns() - begin)
    return best / 50 / requests


def drop(*_output: Any) -> None:
    pass


def discard(_requests: list[Request]) -> None:
    pass


class Bench:
    def __init__(self, batch: int, size: int) -> None:
        self.batch, self.size = batch, size
        self.reactor = Reactor(io_threads=1)
        self.offsets = [(i * 7919 % 65536) * 4096 for i in range(batch)]
        self.payload = bytes(size)

    def requests(self, op: int) -> list[Request]:
        data = memoryview(self.payload) if op == WRITE else None
        return [Request(op, 0, offset, self.size, data, 7, discard) for offset in self.offsets]

    def nbd(self, op: int) -> float:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        server = NbdServer(self.reactor, [Offer("a", NullDevice())])
        connection = NbdConnection(
            *(self.reactor, ours, "x", server, server._offers.__getitem__, discard, server.gate)  # type: ignore[arg-type]
        )
        go = nbd.CLIENT_FLAGS.pack(3) + nbd.OPTION.pack(nbd.OPTION_MAGIC, nbd.OPT_EXPORT_NAME, 1) + b"a"
        connection.received(memoryview(go), 0, len(go))
        connection.link.send = drop  # type: ignore[method-assign]
        stream = b""
        for cookie, offset in enumerate(self.offsets):
            stream += nbd.REQUEST.pack(nbd.REQUEST_MAGIC, 0, op, cookie, offset, self.size)
            stream += self.payload if op == WRITE else b""
        view = memoryview(bytearray(stream))
        result = timed(lambda: connection.received(view, 0, len(view)), self.batch)
        connection.close()
        theirs.close()
        return result

    def dst_server(self, op: int) -> float:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        server = DstServer(self.reactor, [Offer("a", NullDevice())])
        connection = DstConnection(self.reactor, ours, "x", server)
        session = bytes(16)
        hello = Hello(session, 1, "a").pack()
        greeting = dst_preface.client_preface(0, session) + dst_records.header(1, len(hello)) + hello
        connection._channel.received(memoryview(greeting), 0, len(greeting))
        connection.link.send = drop  # type: ignore[method-assign]
        length = FLOOR.size + self.batch * (REQUEST.size + (self.size if op == WRITE else 0))
        record = bytearray(dst_records.header(dst_records.REQUESTS, length, self.batch) + bytes(length))
        view = memoryview(record)
        best = float("inf")
        # Each batch has ids of its own, or its changes would be answered from memory.
        for first in range(1, ROUNDS * 20 * self.batch, self.batch):
            at = dst_records.HEADER.size
            FLOOR.pack_into(record, at, first)
            for index, offset in enumerate(self.offsets):
                position = at + FLOOR.size + index * REQUEST.size
                REQUEST.pack_into(record, position, first + index, offset, self.size, op, 0, 0)
            begin = time.process_time_ns()
            connection._channel.received(view, 0, len(view))
            self.reactor._flushes.pop().flush()
            best = min(best, time.process_time_ns() - begin)
        connection.close()
        theirs.close()
        return best / self.batch

    def node(self) -> DstNode:
        node = DstNode(self.reactor, "n", Endpoint("unix", path="/nowhere"), "a", ordered_above=True)
        link = node._links.all[0]
        link.send = drop  # type: ignore[method-assign]
        node.link_up(link, Welcome(bytes(16), SIZE, 1, 4096, 1 << 25, frozenset(["flush"]), 1024, 1 << 26))
        return node

    def answer(self, node: DstNode, op: int) -> None:
        """What a server would answer to everything in flight."""
        ids = list(node._table.in_flight)
        length = self.size if op == READ else 0
        heads = b"".join(REPLY.pack(id_, 0, 0, length) for id_ in ids)
        body = memoryview(heads + bytes(length * len(ids)))
        node._links.all[0].replies.take(body, len(ids), 0, len(body))

    def over_node(self, device: Device, nodes: list[DstNode], op: int) -> float:
        """Processor time of submit, flush and answer, without making requests and replies."""
        best = float("inf")
        for _ in range(ROUNDS * 20):
            requests = self.requests(op)
            begin = time.process_time_ns()
            device.submit(requests)
            for node in nodes:
                node.flush()
            spent = time.process_time_ns() - begin
            for node in nodes:
                ids = list(node._table.in_flight)
                length = self.size if op == READ else 0
                heads = b"".join(REPLY.pack(id_, 0, 0, length) for id_ in ids)
                body = memoryview(heads + bytes(length * len(ids)))
                begin = time.process_time_ns()
                if ids:
                    node._links.all[0].replies.take(body, len(ids), 0, len(body))
                spent += time.process_time_ns() - begin
            best = min(best, spent)
        self.reactor._flushes.clear()
        return best / self.batch

    def array(self, layout: type, op: int) -> float:
        nodes = [self.node() for _ in range(2)]
        algorithm = layout([SIZE, SIZE])
        members = [Member(i, f"n{i}", "", node, "in_sync") for i, node in enumerate(nodes)]
        array = Array(self.reactor, "a", algorithm, members, store=lambda _record: None)
        return self.over_node(array, nodes, op)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=4096)
    args = parser.parse_args()
    bench = Bench(args.batch, args.size)
    for name, op in (("read", READ), ("write", WRITE)):
        node = bench.node()
        print(f"{name:6} nbd server           {bench.nbd(op):7.0f} ns")
        print(f"{name:6} dst server           {bench.dst_server(op):7.0f} ns")
        print(f"{name:6} dst node             {bench.over_node(node, [node], op):7.0f} ns")
        print(f"{name:6} linear + dst node    {bench.array(Linear, op):7.0f} ns")
        print(f"{name:6} mirror + 2 dst nodes {bench.array(Mirror, op):7.0f} ns")
    bench.reactor.close()


if __name__ == "__main__":
    main()
