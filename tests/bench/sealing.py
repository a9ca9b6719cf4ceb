"""What sealing costs: the ciphers alone, and records over a socket between two processes.

    python tests/bench/sealing.py [--seconds 0.5] [--securities aes256gcm,checksum,none]

First, microseconds per record for one that is sealed from a buffer, sealed after its parts of 4 KiB were
put together, and opened in place. Then records of one size at a time from one process to another,
eight on their way, inline and with one or two threads in the crypto pool of each process: MiB per second,
and processor seconds of both per GiB. Where threads first pay is limits.CRYPTO_CROSSOVER.
"""

import argparse
import os
import resource
import socket
import time
from collections.abc import Callable
from functools import partial

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.channel import Channel
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import KIB, MIB
from dsttool.engine.wire import dst_security
from dsttool.engine.wire.dst_handshake import ClientHandshake, ServerHandshake
from dsttool.engine.wire.dst_records import PAYLOAD, PING, Buffers, Record, header
from dsttool.engine.wire.dst_seal import Checksum, Seal, open_record, seal
from dsttool.engine.wire.dst_security import PLAIN, Security
from dsttool.engine.wire.noise_cipher import Cipher

SIZES = [4 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, MIB, 4 * MIB]
IN_FLIGHT = 8
KEY = bytes(32)


def best_us(work: Callable[[], object], rounds: int = 7) -> float:
    """Microseconds of one call, best of several rounds of some milliseconds each."""
    work()
    begin = time.perf_counter()
    work()
    count = max(1, int(0.005 / max(1e-7, time.perf_counter() - begin)))
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        for _ in range(count):
            work()
        best = min(best, (time.perf_counter() - begin) / count)
    return best * 1e6


def of_size(size: int) -> dict[str, float]:
    """Microseconds for one record of this size, for everything that can be done with it."""
    body = memoryview(os.urandom(size))
    parts = [body[at : at + 4 * KIB] for at in range(0, size, 4 * KIB)]
    out = memoryview(bytearray(size + 24))
    head = header(PAYLOAD, size)
    figures: dict[str, float] = {}
    for name in ("AESGCM", "ChaChaPoly"):
        cipher = Cipher(name, KEY)
        claim, sealer = Seal(cipher).claim(size), Seal(cipher)
        figures[f"{name} seal"] = best_us(partial(sealing, sealer, head, [body], size, out))
        figures[f"{name} seal of 4K"] = best_us(partial(sealing, sealer, head, parts, size, out))
        figures[f"{name} open"] = best_us(partial(open_record, claim, out, 8, 8 + size))
    for name in dst_security.CHECKSUMS:
        figures[name] = best_us(partial(Checksum(name).frame, [(PAYLOAD, 0, size, [body])]))
    return figures


def sealing(sealer: Seal, head: bytes, body: Buffers, size: int, out: memoryview) -> None:
    seal(sealer.claim(size), head, body, size, out)


def alone() -> None:
    """The ciphers and checksums, without anything around them."""
    print(f"{'us per record':20}" + "".join(f"{size // KIB:>8}K" for size in SIZES))
    columns = [of_size(size) for size in SIZES]
    for name in columns[0]:
        print(f"{name:20}" + "".join(f"{column[name]:9.1f}" for column in columns))


def security_of(name: str) -> Security:
    if name == "none":
        return PLAIN
    return dst_security.checksummed() if name == "checksum" else dst_security.shared(name, KEY)


class End:
    """One process: sends records, or answers every one with a short one."""

    def __init__(self, sock: socket.socket, security: Security, threads: int, *, client: bool) -> None:
        self.reactor = Reactor(io_threads=1, crypto_threads=threads)
        sock.setblocking(False)
        handshake = ClientHandshake(security, bytes(16)) if client else ServerHandshake(security)
        self.got = 0
        self.is_open = self.ended = False
        self._answers = not client
        self.channel = Channel(self.reactor, sock, self, handshake)
        self.channel.start()

    def opened(self) -> None:
        self.is_open = True

    def take(self, _view: memoryview, records: list[Record]) -> tuple[int, bool]:
        self.got += len(records)
        if self._answers:
            self.channel.send([(PING, 0, 8, [bytes(8)])] * len(records))
        return len(records), True

    def broken(self, error: DsttoolError) -> None:
        raise error

    def drained(self) -> None:
        pass

    def lost(self, _reason: str) -> None:
        self.ended = True


def serve(sock: socket.socket, security: Security, threads: int) -> None:
    end = End(sock, security, threads, client=False)
    end.reactor.run_until(lambda: end.ended)
    os._exit(0)


def transfer(security: Security, size: int, threads: int, seconds: float) -> tuple[float, float]:
    """MiB per second, and processor seconds of both processes per GiB."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MIB)
    child = os.fork()
    if not child:
        ours.close()
        serve(theirs, security, threads)
    theirs.close()
    end = End(ours, security, threads, client=True)
    end.reactor.run_until(lambda: end.is_open)
    body = memoryview(bytearray(os.urandom(size)))
    sent = 0
    begin, used = time.perf_counter(), time.process_time()
    while (now := time.perf_counter()) < begin + seconds:
        while sent - end.got < IN_FLIGHT:
            end.channel.send([(PAYLOAD, 0, size, [body])])
            sent += 1
        end.reactor.turn()
    used = time.process_time() - used
    done, took = end.got * size, now - begin
    end.channel.close()
    end.reactor.close()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    os.waitpid(child, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done / MIB / took, used / (done / (1 << 30))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--securities", default="none,aes256gcm,chacha20poly1305,checksum")
    args = parser.parse_args()
    alone()
    limits.CRYPTO_CROSSOVER = 0  # type: ignore[misc]
    print(f"\n{'MiB/s (CPU s/GiB)':26}" + "".join(f"{size // KIB:>14}K" for size in SIZES))
    for name in args.securities.split(","):
        security = security_of(name)
        for threads in (0, 1, 2) if security.sealed else (0,):
            figures = [transfer(security, size, threads, args.seconds) for size in SIZES]
            label = f"{name}, {threads} threads" if security.sealed else name
            print(f"{label:26}" + "".join(f"{speed:8.0f} ({cpu:.2f})" for speed, cpu in figures))


if __name__ == "__main__":
    main()
