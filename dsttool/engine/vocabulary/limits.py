"""Every bound in the engine, with its reason. Bytes, counts, or nanoseconds (`_ns`)."""

from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000

# NBD's customary maximum payload; what clients assume when nothing is negotiated.
REQUEST_MAX: Final = 32 * MIB
# Trim and write-zeroes carry no payload; the length field is 32 bits on both wires.
LENGTH_MAX: Final = (1 << 32) - 1

# Requests of one client that may be unanswered before its socket is no longer read. Deeper queues
# gain nothing measurable, and each entry costs about 1 KiB.
CLIENT_REQUESTS_MAX: Final = 1024
# Bytes of payload (both ways) of one client that may be unanswered. Two maximum requests, so
# that one is always being received while one is served.
CLIENT_BYTES_MAX: Final = 2 * REQUEST_MAX
# Clients connected to one listener; each costs two segments at most while idle.
CLIENTS_MAX: Final = 1024
# A client must finish its handshake in this time, or its connection is closed.
HANDSHAKE_TIMEOUT_NS: Final = 10 * SECOND
# A client that is refused has so long to take the reason in before its connection is closed all the same.
PARTING_NS: Final = SECOND
# Connections that have not finished their handshake, of all sources and of one (an address or a user): an
# honest one takes milliseconds, so that this many at once only come from somebody who means no good.
HALF_OPEN_MAX: Final = 256
SOURCE_HALF_OPEN_MAX: Final = 128
# Clients of one address: half of what a server takes, so that nobody can use up all of it alone.
SOURCE_CLIENTS_MAX: Final = CLIENTS_MAX // 2
# Lines of log about refusals of one kind in one period; enough to see who it is, in a flood too.
LOG_LINES_PER_PERIOD: Final = 10
LOG_PERIOD_NS: Final = 10 * SECOND
# Options a client may send in an NBD handshake; real clients send fewer than ten.
HANDSHAKE_OPTIONS_MAX: Final = 64
# Payload of one NBD option: an export name is at most 4096 bytes (NBD protocol), plus framing.
OPTION_BYTES_MAX: Final = 16 * KIB
# Export names (NBD protocol, "Values": strings are at most 4096 bytes).
NAME_BYTES_MAX: Final = 4096
# What a server may answer to "list your exports": some ten thousand names with descriptions.
LIST_BYTES_MAX: Final = MIB

# Requests and payload bytes in flight to an NBD server: servers run 16 to 128 at once, the rest would
# only wait there instead of here. Two maximum requests, so that the next is sent while one runs.
NBD_WINDOW: Final = 128
NBD_WINDOW_BYTES: Final = 2 * REQUEST_MAX

# Ids of one session that may be between the lowest unanswered one and the highest: what a server remembers
# of finished changes is bounded by it (DST/2). A slow request among fast ones holds this many at most.
ID_WINDOW: Final = 1 << 16
# A writer that is silent so long may be displaced by another owner (protocol.md, owners and terms).
GRANT_NS: Final = 60 * SECOND
# Sessions that are remembered as ended, of which a late hello may come: more than ever wait in sockets.
RETIRED_SESSIONS_MAX: Final = 256
# Sessions of a shared export that have no link, but may come back; each has a window.
DEAD_SESSIONS_MAX: Final = 64
# Links of one session.
LINKS_MAX: Final = 64
# Links of one index that are gone though what they asked for still runs: a client that reconnects to a
# stalled device again and again must not pile up its requests.
STALLED_LINKS_MAX: Final = 4
# A client that said nothing for so long is pinged; after so many pings without a byte its link is dead.
# Twice what clients wait before they ping: usually it is theirs that keep a link alive.
CLIENT_QUIET_NS: Final = 2 * SECOND
CLIENT_PINGS_MISSED: Final = 3

# Payloads that a node keeps until they are flushed, where no other copy is (protocol.md, durability
# verifier): past half of it a flush runs in the background, past all of it writes wait.
RETAINED_BYTES_MAX: Final = 256 * MIB

# System calls take at most this many buffers (UIO_MAXIOV); more is EMSGSIZE.
IOVECS_MAX: Final = 1024
# Bytes one connection may bring in per turn of the reactor, so that others get their turn.
TURN_BYTES_MAX: Final = 4 * MIB

# The usual receive segment: a queue of 32 writes of 4 KiB with their headers fits.
SEGMENT_BYTES: Final = 256 * KIB
# Sizes of pooled segments: the usual one, one for 1 MiB requests, 4 MiB, and the maximum request,
# each with room for headers.
SEGMENT_CLASSES: Final = (SEGMENT_BYTES, MIB + 64 * KIB, 4 * MIB + 64 * KIB, REQUEST_MAX + 64 * KIB)
# Segments in use, over all clients of a daemon. Beyond it each client may have one request at a time.
POOL_BYTES_MAX: Final = 512 * MIB
# Free segments kept for reuse, in bytes; more than that goes back to the system.
SEGMENTS_FREE_MAX: Final = 64 * MIB

# Threads for what can block: cold reads, flushes, FUA writes, trims, opens, names.
IO_THREADS: Final = 8
# Threads that seal and open records beside the reactor.
CRYPTO_THREADS: Final = 1
# Records at least this long are sealed and opened by them: AES-256-GCM takes 52 us for so much, and
# handing it to a thread and back about 40 us of processor time (tests/bench/sealing.py).
CRYPTO_CROSSOVER: Final = 512 * KIB
# Bytes of records that one link has received whole and that wait to be opened or taken. Enough for every
# thread to have a record of 1 MiB and another to follow.
OPENING_BYTES_MAX: Final = 8 * MIB
# Threads for host names: a look-up may take many seconds when name servers are silent.
NAME_THREADS: Final = 2
