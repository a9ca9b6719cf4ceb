"""A node and a server that says what it is told: who tells it plays both."""

from dataclasses import replace
from typing import Any

from dsttool.engine.node.dst import DstNode
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import MS
from dsttool.engine.vocabulary.operations import FLUSH, READ
from dsttool.engine.wire import dst_hello, dst_preface, dst_records
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_records import CROSSOVER
from support.dst_hall import DstHall
from support.dst_strangers import WELCOME, RawServer, Talker, record, replies, reply

QUICK = Policy(backoff_min_ns=2 * MS, backoff_max_ns=10 * MS)
# Brief, but not so brief that a machine with much else to do lets it end before anything is sent.
BRIEF = Policy(resend_timeout_ns=50 * MS, resends=1, backoff_min_ns=2 * MS, backoff_max_ns=10 * MS)
LARGE = 2 * CROSSOVER


class Stage:
    """A hall, a server that is told what to say, and a node of it."""

    def __init__(self, hall: DstHall, server: RawServer) -> None:
        self.hall, self.server = hall, server

    def node(self, policy: Policy = QUICK, **options: Any) -> DstNode:
        """A node that connects; `outcomes` of the stage gets what `ready` is called with."""
        node = DstNode(self.hall.reactor, "n0", self.server.endpoint, "disk", policy=policy, **options)
        self.hall.nodes.append(node)
        self.outcomes: list[DsttoolError | None] = []
        node.connect(self.outcomes.append)
        return node

    def up(
        self, policy: Policy = QUICK, welcome: Welcome = WELCOME, **options: Any
    ) -> tuple[DstNode, Talker]:
        node = self.node(policy, **options)
        talker = self.server.welcome(welcome)
        self.hall.until(lambda: node.up)
        return node, talker

    def again(self, **changes: Any) -> Talker:
        """The node has dropped its link and comes back; changes: how the welcome differs."""
        return self.server.welcome(replace(WELCOME, **changes))

    def hello_again(self) -> tuple[Talker, Hello]:
        """The node comes back, and is not welcomed yet."""
        return self.server.accept_hello()

    def welcome(self, talker: Talker, **changes: Any) -> None:
        """It is now."""
        talker.say(dst_preface.server_preface(dst_preface.NONE, 0))
        talker.say(record(dst_records.WELCOME, replace(WELCOME, **changes).pack()))

    def refuse(self, talker: Talker, code: int, reason: str = "No.") -> None:
        """It is refused."""
        talker.say(dst_preface.server_preface(dst_preface.NONE, 0))
        talker.say(record(dst_records.REFUSAL, dst_hello.pack_reason(code, reason)))
        talker.close()


def answers_of(*asked: tuple[int, int, int, int], verifier: bytes = WELCOME.verifier) -> bytes:
    """What an honest server replies: reads bring their id, byte by byte, flushes the verifier."""
    heads, small, large = [], b"", b""
    for id_, op, _, length in asked:
        size = length if op == READ else 16 if op == FLUSH else 0
        heads.append(reply(id_, length=size))
        payload = bytes([id_ % 256]) * size if op == READ else verifier[:size]
        if size >= CROSSOVER:
            large += record(dst_records.PAYLOAD, payload)
        else:
            small += payload
    return replies(*heads, payload=small) + large
