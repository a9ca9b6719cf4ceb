#!/bin/sh
# Brings up a mirror over two exports, uses, breaks, repairs and takes it down: with nothing but documented
# commands, their exit codes, and their --json. Run as `sh -eu operate.sh` in an empty folder, with dsttool,
# nbdcopy, qemu-io and python3 on the path and DSTTOOL_{CONFIG,RUNTIME,STATE}_DIR set to folders of its own.

set -eu

say() {
    printf '== %s\n' "$*"
}

# code CODE COMMAND…: the command must end with just this exit code.
code() {
    wanted=$1
    shift
    got=0
    "$@" >out 2>err || got=$?
    if [ "$got" -ne "$wanted" ]; then
        printf '%s: exit code %s, not %s\n' "$*" "$got" "$wanted" >&2
        cat out err >&2
        exit 1
    fi
}

# field PATH <JSON: one value of it, as in arrays.0.members.1.state; # at the end is a length.
field() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for step in sys.argv[1].split("."):
    value = len(value) if step == "#" else value[int(step)] if isinstance(value, list) else value[step]
print(value)
' "$1"
}

# is WANTED COMMAND…: a field of its --json answer, WANTED being PATH=VALUE.
is() {
    path=${1%%=*}
    value=${1#*=}
    shift
    found=$("$@" --json | field "$path")
    if [ "$found" != "$value" ]; then
        printf '%s: %s is %s, not %s\n' "$*" "$path" "$found" "$value" >&2
        exit 1
    fi
}

# patiently COMMAND…: until it succeeds, for 20 s.
patiently() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 200 ]; then
            printf 'not within 20 s: %s\n' "$*" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# end_all: whatever happens, nothing stays behind.
end_all() {
    for pid in $(dsttool daemon list --json | python3 -c '
import json, sys
print(*(each["pid"] for each in json.load(sys.stdin)["daemons"] if each["pid"]))'); do
        kill "$pid" || true
    done
}
trap end_all EXIT

say 'nothing runs, nothing is configured'
code 0 dsttool status --json
is 'arrays.#=0' dsttool status
code 0 dsttool config check
code 3 dsttool status pool
code 3 dsttool array up pool
code 2 dsttool stauts
code 2 dsttool array create pool --layout mirror
code 7 dsttool wait left --for up --timeout 100ms

say 'two exports and a mirror come up'
for name in left right; do
    code 0 dsttool export "$name.img" --size 32M --name "$name" -d
    is 'exports.0.size_bytes=33554432' dsttool status "$name"
done
code 8 dsttool export other.img --size 1M --name left -d
code 0 dsttool array create pool --layout mirror --raw left right
code 8 dsttool array create pool --layout mirror --raw left right
code 0 dsttool config check
code 0 dsttool array up pool
code 0 dsttool wait pool --for clean --timeout 20s
code 0 dsttool status pool --exit-code
is 'arrays.0.state=online' dsttool status pool
is 'state=online' dsttool array show pool
code 0 dsttool doctor pool

say 'it is used'
head -c 8388608 /dev/urandom >data
code 0 dsttool cp data pool
uri=$(dsttool uri pool)
nbdcopy "$uri" copy
cmp -n 8388608 data copy
code 0 dsttool info "$uri" --json
code 0 dsttool bench pool --time 200ms --json
code 6 dsttool bench pool --rw randwrite --time 200ms
is 'arrays.0.errors=0' dsttool status pool

say 'an export dies in the middle of a write, which waits, and then goes on without it'
code 0 dsttool policy set pool resend_timeout=10m
pid=$(dsttool status right --json | field daemons.0.pid)
kill -9 "$pid"
qemu-io -f raw -c 'write -P 7 0 1M' -c flush "$uri" >written &
writer=$!
waits() {
    [ "$(dsttool tx list pool/n1 --json | field total)" -gt 0 ]
}
patiently waits
code 2 dsttool policy set pool resend=3
code 0 dsttool policy set pool/n1 resend_timeout=500ms resends=3
is 'nodes.0.budget_ns=2000000000' dsttool policy show pool/n1
code 0 dsttool wait pool --for degraded --timeout 20s
code 10 dsttool status pool --exit-code
is 'arrays.0.members.1.state=stale' dsttool status pool
wait "$writer"
is 'arrays.0.errors=0' dsttool status pool
code 4 dsttool status right
code 7 dsttool wait pool --for clean --timeout 100ms
# What happened is told, too.
code 0 dsttool events pool --json
python3 -c '
import json, sys
kinds = {each["kind"] for each in json.load(open("out"))["events"]}
missing = {"member.stale", "link.lost"} - kinds
sys.exit(f"no event {missing}: {kinds}" if missing else 0)'

say 'it is repaired'
code 0 dsttool export right.img --name right -d
code 0 dsttool wait pool --for clean --timeout 30s
code 0 dsttool status pool --exit-code
is 'jobs.#=0' dsttool resync status pool
[ "$(dsttool node list pool --json | field members.1.resynced_bytes)" -gt 0 ]
[ "$(dsttool node list pool --json | field members.1.resynced_bytes)" -lt 33554432 ]
code 0 qemu-io -f raw -r -c 'read -P 7 0 1M' "$uri"
cmp left.img right.img

say 'a node is suspended, misses something, and gets it back'
code 0 dsttool node suspend pool n1
is 'members.1.state=suspended' dsttool node list pool
code 6 dsttool node suspend pool n0
code 8 dsttool node suspend pool n1
code 0 qemu-io -f raw -c 'write -P 9 2M 1M' "$uri"
code 0 dsttool node resume pool n1
code 8 dsttool node resume pool n1
code 0 dsttool wait pool --for clean --timeout 30s
code 3 dsttool node suspend pool n7

say 'one side is discarded, its resync stopped, and done'
code 0 dsttool resync limit pool --floor 64K --ceiling 64K
code 6 dsttool array discard pool n1
code 6 dsttool array discard pool n1 --confirm=poo
code 0 dsttool array discard pool n1 --confirm=pool
code 6 dsttool array discard pool n0 --confirm=pool
code 0 dsttool resync stop pool n1
is 'jobs.0.state=stopped' dsttool resync status pool
is 'members.1.state=stale' dsttool node list pool
code 0 dsttool resync limit pool --floor 64M --ceiling 0
code 0 dsttool resync start pool
code 0 dsttool wait pool --for clean --timeout 30s
is 'members.1.resynced_bytes=33554432' dsttool node list pool
code 8 dsttool resync stop pool

say 'it is taken down, and deleted'
code 8 dsttool array delete pool --confirm=pool
code 0 dsttool array down pool
code 3 dsttool status pool
code 3 dsttool node list pool
code 3 dsttool array down pool
is 'state=down' dsttool array show pool
cmp left.img right.img
code 6 dsttool array delete pool
code 0 dsttool array delete pool --forget --confirm=pool
code 3 dsttool array show pool
code 0 dsttool daemon stop left right
code 3 dsttool daemon stop left
is 'daemons.#=0' dsttool daemon list
say 'done'
