# fish completion for dsttool.
# Generated from the command tree: dsttool completion fish > completions/dsttool.fish
#
# Only names of what runs or is configured come from the program.

# What may follow the words of a command, each with its help after a tab: `subcommands`; `switches`
# (-f,--form:VALUE, where VALUE is a kind, =a|b|c for such words, or - for none; a * at the end if the option
# may be repeated); `operands` (kinds; ... repeats the last).
function __dsttool_at --no-scope-shadowing
    set subcommands; set switches; set operands
    switch $argv[1]
        case ''
            set subcommands \
                'export	Offer files, block devices or anything with an address to clients' \
                'array	Form one device out of several nodes' \
                'node	Look at the nodes of an array, take one out for a while, and bring it back' \
                'resync	Copying to members what they missed: how far it is, and how fast it may go' \
                'policy	How long transactions may take, and how links are kept alive' \
                'status	Show the state of everything that runs on this machine, or of NAME' \
                'iostat	Show how much every array, member and export reads and writes, and how long it takes' \
                'events	Show what happened to arrays, nodes, links and exports: the last 1000 events of each daemon' \
                'tx	Transactions: requests to other machines that have no answer yet' \
                'wait	Wait until the array or export NAME is in a state' \
                'uri	Print the address at which NBD clients on this machine reach NAME' \
                'info	Show what is at ADDRESS: size, capabilities, and what may be relied on there' \
                'cp	Copy all of SRC onto DST: addresses, files, or names of what runs here' \
                'bench	Measure what is at ADDRESS: requests a second, throughput, latency' \
                'tui	Watch everything that runs on this machine, live' \
                'console	Type commands one after the other, with completion, or run a script of them' \
                'demo	Show what this is about, in a quarter of a minute: a mirror that survives its exports' \
                'key	Make keys, and say which clients\' keys may use this machine\'s exports' \
                'daemon	List, stop and tune what runs on this machine' \
                'logs	Print the log of the daemon NAME, also after its end' \
                'record	Record what the daemons tell into FILE, until Ctrl-C' \
                'schema	Print the JSON Schema of an answer, or list which there are' \
                'ctl	Carry conversations with this machine\'s daemons over standard input and output' \
                'doctor	Check this machine, and say what to do about what is not as it should be' \
                'config	Look at what is configured, and check it' \
                'completion	Print the script by which SHELL completes commands, options and names of what runs' \
                'man	Show a manual page: of dsttool itself, of a command, or on a topic' \
                'version	Show the version of dsttool and of what it runs on'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'export'
            set switches \
                '--name:TEXT*	Name of the export; one for each DEVICE, in order' \
                '--size:TEXT	Create the file with this size, sparse, if it does not exist' \
                '--listen:LISTEN*	Accept clients there too, e.g. nbd://127.0.0.1' \
                '--read-only:-	Let nobody write' \
                '--shared:-	Let several write at a time, not one' \
                '-d,--detach:-	Return once it listens; see `dsttool logs NAME`' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--security:SECURITY	Protection of DST listeners that do not spell their own: none, checksum, aes256gcm, chacha20poly1305' \
                '--key:FILE	Their key, shared or private, instead of this machine\'s' \
                '--access:TEXT*	Who may connect over a network, e.g. \'allow 10.0.0.0/8\'; the first that matches wins' \
                '--invite:-	Print a line, a secret, by which another machine\'s key comes in' \
                '--invite-expires:TEXT	How long that line holds' \
                '--metrics:PLACE	Answer Prometheus there: PORT or HOST:PORT (without a host this machine only), or the path of a Unix socket' \
                '--log-format:=text|json|journal	How lines of the log look: text for people, one JSON object each for programs, or with priorities for the journal' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'DEVICE...'
        case 'array'
            set subcommands \
                'create	Write the configuration of a new array; what its nodes hold is not touched' \
                'up	Bring arrays up; return when they serve' \
                'down	Stop arrays cleanly and wait until nothing of them runs any more' \
                'list	List arrays: those that are configured, and those that are up' \
                'show	Show what the array NAME is made of: its layout, its nodes, and where it is served' \
                'discard	Declare all that the member NODE of the array NAME holds void, and copy it from the others again' \
                'delete	Remove the configuration of the array NAME, which must be down; its nodes are not touched'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'array create'
            set switches \
                '--layout:LAYOUT	linear, stripe, mirror, or an installed one' \
                '--raw:-	The array is the nodes\' bytes and nothing else' \
                '--chunk:TEXT	Bytes on one member before the next (stripe), e.g. 64K' \
                '--read-policy:=nearest|round_robin|first	Which copy a mirror reads' \
                '--listen:LISTEN*	Serve there too' \
                '--invite-file:FILE*	Invitations, one a line (- for standard input): each is a node more, after those named' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--security:SECURITY	Protection of DST listeners that do not spell their own: none, checksum, aes256gcm, chacha20poly1305' \
                '--key:FILE	Their key, shared or private, instead of this machine\'s' \
                '--access:TEXT*	Who may connect over a network, e.g. \'allow 10.0.0.0/8\'; the first that matches wins' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'TEXT' \
                'NODE...'
        case 'array up'
            set switches \
                '--layout:LAYOUT	linear, stripe, mirror, or an installed one' \
                '--raw:-	The array is the nodes\' bytes and nothing else' \
                '--chunk:TEXT	Bytes on one member before the next (stripe), e.g. 64K' \
                '--read-policy:=nearest|round_robin|first	Which copy a mirror reads' \
                '--listen:LISTEN*	Serve there too' \
                '--assume-clean:-	Take all members for equal; nothing is compared' \
                '--resync-from:NODE	Copy this member onto all others' \
                '--degraded:-	Go on without members that are missing; resync stale ones' \
                '--wait:TEXT	Wait that long for members that are missing' \
                '--read-only:-	Let nobody write' \
                '--shared:-	Let several write at a time, not one' \
                '--takeover:-	Take the nodes from whoever writes to them now' \
                '--confirm:TEXT	The array\'s name, to go ahead with --takeover unasked' \
                '--foreground:-	Stay in this process, for service managers' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--security:SECURITY	Protection of DST listeners that do not spell their own: none, checksum, aes256gcm, chacha20poly1305' \
                '--key:FILE	Their key, shared or private, instead of this machine\'s' \
                '--access:TEXT*	Who may connect over a network, e.g. \'allow 10.0.0.0/8\'; the first that matches wins' \
                '--invite:-	Print a line, a secret, by which another machine\'s key comes in' \
                '--invite-expires:TEXT	How long that line holds' \
                '--metrics:PLACE	Answer Prometheus there: PORT or HOST:PORT (without a host this machine only), or the path of a Unix socket' \
                '--log-format:=text|json|journal	How lines of the log look: text for people, one JSON object each for programs, or with priorities for the journal' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'STARTABLE' \
                'STARTABLE_OR_NODE...'
        case 'array down'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY...'
        case 'array list'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'array show'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ANY_ARRAY'
        case 'array discard'
            set switches \
                '--confirm:TEXT	The array\'s name, to go ahead unasked' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY' \
                'MEMBER'
        case 'array delete'
            set switches \
                '--forget:-	Also forget which members missed writes when it last ran' \
                '--confirm:TEXT	The array\'s name, to go ahead unasked' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ANY_ARRAY'
        case 'node'
            set subcommands \
                'list	List the nodes of an array that runs: their states, what they miss, and how they are reached' \
                'suspend	Give NODE no requests until it is resumed; return when none is under way on it' \
                'resume	Give NODE requests again; what it missed is copied to it while the array serves'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'node list'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY'
        case 'node suspend'
            set switches \
                '--for:TEXT	Resume it by itself after this time, e.g. 10m' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY' \
                'MEMBER'
        case 'node resume'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY' \
                'MEMBER'
        case 'resync'
            set subcommands \
                'status	Show which resyncs run, how far they are, and how fast' \
                'start	Let resyncs that were paused go on, begin those that were stopped, and try again what failed' \
                'pause	Copy nothing until `resync start`; what is written meanwhile still goes to every member' \
                'stop	End the resyncs of an array, or that of NODE; the members stay stale until `resync start`' \
                'limit	Say how fast resyncs may be, until the array goes down'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'resync status'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY'
        case 'resync start'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY'
        case 'resync pause'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY'
        case 'resync stop'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY' \
                'MEMBER'
        case 'resync limit'
            set switches \
                '--floor:TEXT	Bytes a second to copy however busy the array is, e.g. 1M' \
                '--ceiling:TEXT	Bytes a second to copy at most, e.g. 100M; 0 for no limit' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY'
        case 'policy'
            set subcommands \
                'show	Show which policy holds for the nodes of an array that runs, or for one, and where each value is set' \
                'set	Change the policy of all nodes of an array, or of one, while it runs'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'policy show'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY_NODE'
        case 'policy set'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'ARRAY_NODE' \
                'POLICY...'
        case 'status'
            set switches \
                '--watch:TEXT	Show it again every so many seconds, until Ctrl-C: on a terminal in place, else below each other' \
                '--exit-code:-	Exit with 10 if something is degraded, with 11 if something failed, is frozen or does not answer' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'SERVED'
        case 'iostat'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'SERVED_NODE' \
                'TEXT' \
                'TEXT...'
        case 'events'
            set switches \
                '-f,--follow:-	Go on with what happens from now on, until Ctrl-C' \
                '--since:TEXT	Only newer ones: than a time ago (10m), than a time (2026-05-01T12:00), or than the event ID' \
                '--level:=info|warning|error	Only these and worse ones' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'SERVED_NODE'
        case 'tx'
            set subcommands \
                'list	List transactions that have no answer yet, the oldest first: the first 200, and totals by state' \
                'show	Show one transaction'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'tx list'
            set switches \
                '--filter:FILTER	Only those for which every word of EXPR holds, for example \'state:resend age>1s\'' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'SERVED_NODE'
        case 'tx show'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'SERVED_NODE' \
                'TRANSACTION'
        case 'wait'
            set switches \
                '--for:=up|clean|connected|degraded	up: it serves. connected: every member is there. clean: every member is in sync. degraded: one is not' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'SERVED'
        case 'uri'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'SERVED'
        case 'info'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'PLACE'
        case 'cp'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'PLACE' \
                'PLACE'
        case 'bench'
            set switches \
                '--rw:=randread|randwrite|read|write	What to do; writing destroys what is there' \
                '--bs:TEXT	Bytes of one request' \
                '--depth:TEXT	Requests at once' \
                '--time:TEXT	For how long' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'PLACE'
        case 'tui'
            set switches \
                '--replay:FILE	Play a recording of `dsttool record` instead of watching what runs: Space stops it and lets it go on, . and , go a moment on and back' \
                '--read-only:-	Offer no actions at all' \
                '--ascii:-	Draw with nothing but ASCII characters' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'console'
            set switches \
                '-c,--command:COMMAND*	Run this command line, and end; repeat it for several' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'demo'
            set switches \
                '--keep:-	Leave everything running, and say where' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '-h,--help:-	Show this message and exit'
        case 'key'
            set subcommands \
                'generate	Make a key FILE that only its owner can read; without FILE this machine\'s identity as a client' \
                'show	Show public keys and fingerprints, never a secret: of FILE, or of this machine\'s identities' \
                'authorize	Let a client\'s key use this machine\'s exports: all of them, or those that are named' \
                'revoke	Authorise a KEY no more, and cut its links; or withdraw an invitation' \
                'list	List the keys that may use this machine\'s exports, and the invitations that nobody has used'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'key generate'
            set switches \
                '--shared:-	One key that both ends have, instead of a pair' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'FILE'
        case 'key show'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'FILE'
        case 'key authorize'
            set switches \
                '--export:EXPORT*	Only this export; may be repeated' \
                '--read-only:-	The key may read, and not write' \
                '--name:TEXT	A name for the key, in lists and for `key revoke`' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'TEXT'
        case 'key revoke'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'KEY'
        case 'key list'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-h,--help:-	Show this message and exit'
        case 'daemon'
            set subcommands \
                'list	List the daemons of this machine: what they serve, since when, and of which release they are' \
                'stop	End daemons cleanly and wait until they have ended' \
                'reload	Have daemons read their configuration again, and apply what can be applied while they serve' \
                'tune	Show how many threads a daemon seals with, or change it while it runs'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'daemon list'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'daemon stop'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'DAEMON...'
        case 'daemon reload'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'DAEMON...'
        case 'daemon tune'
            set switches \
                '--crypto-threads:TEXT	Threads that seal and open large records; 0 to do all of it on the main thread' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'DAEMON'
        case 'logs'
            set switches \
                '-f,--follow:-	Go on with what is written from now on, until Ctrl-C' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'LOG'
        case 'record'
            set switches \
                '--for:TEXT	End after this time, for example 10m; else at Ctrl-C' \
                '--max-size:TEXT	End when FILE is so large' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'FILE'
        case 'schema'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'SCHEMA'
        case 'ctl'
            set switches \
                '--stdio:-	Talk over standard input and output; the only way there is' \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '-h,--help:-	Show this message and exit'
        case 'doctor'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'SERVED'
        case 'config'
            set subcommands \
                'show	Show the configuration that holds, value by value, and where each value comes from' \
                'check	Check configuration files: all of them, or the FILEs named; nothing is opened or started' \
                'path	Show where configuration, sockets and state are kept, and which files are there'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-y,--yes:-	Go ahead without asking' \
                '--no-input:-	Never ask; what would ask is declined' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '--dry-run:-	Say what would be done and would be refused, and change nothing' \
                '--host:HOST*	Ask the daemons of another machine, over ssh: ssh://[USER@]HOST[:PORT]. dsttool has to be installed there; no port is opened. `local` is this machine' \
                '-h,--help:-	Show this message and exit'
        case 'config show'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '--timeout:TEXT	Give up (exit 7) after this time, for example 500ms, 30s' \
                '-h,--help:-	Show this message and exit'
            set operands \
                '=array|export' \
                'CONFIGURED'
        case 'config check'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'FILE...'
        case 'config path'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-h,--help:-	Show this message and exit'
        case 'completion'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '-h,--help:-	Show this message and exit'
            set operands \
                '=bash|zsh|fish'
        case 'man'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '-h,--help:-	Show this message and exit'
            set operands \
                'PAGE' \
                'PAGE_OF' \
                'TEXT...'
        case 'version'
            set switches \
                '-q,--quiet:-	Say only what was asked for, and what went wrong' \
                '-v,--verbose:-*	Say more; -vv shows tracebacks' \
                '--color:=auto|always|never	Colours: auto means on a terminal (NO_COLOR and FORCE_COLOR are honoured)' \
                '--json:-	Answer in JSON' \
                '-o,--output:=table|plain|json|jsonl	How answers look; plain is for scripts: tabs, and figures in bytes and nanoseconds' \
                '-h,--help:-	Show this message and exit'
    end
end

# What values of a kind can be.
function __dsttool_kind --no-scope-shadowing
    switch $argv[1]
        case HOST
            set choices \
                'ssh://	ssh://[USER@]HOST[:PORT]' \
                'local	this machine'
        case LISTEN
            set choices \
                'dst://	DST over TCP: dst://ADDRESS[:PORT]' \
                'dst+unix:///?socket=	DST on a Unix socket' \
                'dst+vsock://	DST for guests' \
                'dst+mptcp://	DST over several paths' \
                'nbd://	NBD over TCP' \
                'nbd+unix:///?socket=	NBD on a Unix socket'
        case SECURITY
            set choices \
                'none' \
                'checksum' \
                'aes256gcm' \
                'chacha20poly1305'
        case FILE
            set files 'file'
        case PLACE
            set choices \
                'dst://	DST over TCP: dst://HOST[:PORT]/EXPORT' \
                'dst+unix:///	DST on a Unix socket: dst+unix:///EXPORT?socket=PATH' \
                'dst+vsock://	DST between a machine and its guests' \
                'dst+mptcp://	DST over several paths' \
                'nbd://	NBD over TCP: nbd://HOST[:PORT]/EXPORT' \
                'nbd+unix:///	NBD on a Unix socket' \
                'nbds://	NBD inside TLS' \
                'nbds+unix:///	NBD inside TLS on a Unix socket' \
                'file:	a file or block device: file:PATH' \
                'mem:	memory: mem:SIZE'
            set live 'served'
            set files 'file'
        case DEVICE
            set choices \
                'file:	a file or block device: file:PATH' \
                'mem:	memory: mem:SIZE' \
                'dst://	DST over TCP: dst://HOST[:PORT]/EXPORT' \
                'dst+unix:///	DST on a Unix socket: dst+unix:///EXPORT?socket=PATH' \
                'dst+vsock://	DST between a machine and its guests' \
                'dst+mptcp://	DST over several paths' \
                'nbd://	NBD over TCP: nbd://HOST[:PORT]/EXPORT' \
                'nbd+unix:///	NBD on a Unix socket' \
                'nbds://	NBD inside TLS' \
                'nbds+unix:///	NBD inside TLS on a Unix socket'
            set live 'startable-exports'
            set files 'file'
        case LAYOUT
            set choices \
                'linear	one node after the other' \
                'stripe	chunks in turn' \
                'mirror	every node holds everything'
        case NODE
            set choices \
                'dst://	DST over TCP: dst://HOST[:PORT]/EXPORT' \
                'dst+unix:///	DST on a Unix socket: dst+unix:///EXPORT?socket=PATH' \
                'dst+vsock://	DST between a machine and its guests' \
                'dst+mptcp://	DST over several paths' \
                'nbd://	NBD over TCP: nbd://HOST[:PORT]/EXPORT' \
                'nbd+unix:///	NBD on a Unix socket' \
                'nbds://	NBD inside TLS' \
                'nbds+unix:///	NBD inside TLS on a Unix socket' \
                'file:	a file or block device: file:PATH' \
                'mem:	memory: mem:SIZE'
            set live 'served'
            set files 'path'
        case STARTABLE
            set live 'startable-arrays'
        case STARTABLE_OR_NODE
            set choices \
                'dst://	DST over TCP: dst://HOST[:PORT]/EXPORT' \
                'dst+unix:///	DST on a Unix socket: dst+unix:///EXPORT?socket=PATH' \
                'dst+vsock://	DST between a machine and its guests' \
                'dst+mptcp://	DST over several paths' \
                'nbd://	NBD over TCP: nbd://HOST[:PORT]/EXPORT' \
                'nbd+unix:///	NBD on a Unix socket' \
                'nbds://	NBD inside TLS' \
                'nbds+unix:///	NBD inside TLS on a Unix socket' \
                'file:	a file or block device: file:PATH' \
                'mem:	memory: mem:SIZE'
            set live 'startable-arrays'
            set files 'path'
        case ARRAY
            set live 'arrays'
        case ANY_ARRAY
            set live 'all-arrays'
        case MEMBER
            set live 'nodes 1'
        case ARRAY_NODE
            set live 'array-nodes'
        case POLICY
            set choices \
                'resend_timeout=' \
                'resends=' \
                'ping_interval=' \
                'ping_misses=' \
                'connect_timeout=' \
                'backoff_min=' \
                'backoff_max=' \
                'window=' \
                'on_exhausted=fail	the request gets an error' \
                'on_exhausted=freeze	it waits for you' \
                'links='
        case SERVED
            set live 'served'
        case SERVED_NODE
            set live 'served-nodes'
        case FILTER
            set choices \
                'state:	queued, held, in_flight, resend, exhausted, frozen' \
                'node:	a member, or ARRAY/NODE' \
                'op:	read, write, flush, trim, write_zeroes' \
                'flags:	fua' \
                'name:	an array or export' \
                'client:	who asked' \
                'age>	for example age>1s' \
                'length>	for example length>=64K' \
                'attempts>	times sent' \
                'budget<	time left' \
                'id:	its number'
        case TRANSACTION
            set live 'transactions 1'
        case EXPORT
            set live 'exports'
        case KEY
            set live 'keys'
        case DAEMON
            set live 'daemons'
        case LOG
            set live 'logs'
        case SCHEMA
            set live 'schemas'
        case CONFIGURED
            set live 'configured'
        case PAGE
            set live 'pages'
        case PAGE_OF
            set live 'pages 1'
    end
end

# The value that an option of this form takes, in `value`: '' for no such option.
function __dsttool_option --no-scope-shadowing
    set value
    for each in $switches
        set -l spec (string split -m1 \t -- $each)[1]
        set -l forms (string split -m1 : -- $spec)
        if contains -- $argv[1] (string split , -- $forms[1])
            set value (string trim -r -c '*' -- $forms[2])
            set -a used $forms[1]
            return
        end
    end
end

# Follow the words before the cursor.
function __dsttool_walk --no-scope-shadowing
    __dsttool_at ''
    for word in $before
        if test -n "$pending"
            set pending
        else if test "$word" = -- -a -z "$literal"
            set literal 1
        else if string match -q -- '--*' $word; and test -z "$literal"
            set -l form (string split -m1 = -- $word)
            test "$form[1]" = --host; and set remote 1
            __dsttool_option $form[1]
            test (count $form) -gt 1 -o "$value" = -; or set pending $value
        else if string match -q -- '-?*' $word; and test -z "$literal"
            set -l letters (string split '' -- $word)
            for i in (seq 2 (count $letters))
                __dsttool_option "-$letters[$i]"
                if test -n "$value" -a "$value" != -
                    test $i -lt (count $letters); or set pending $value
                    break
                end
            end
        else if test -n "$subcommands"
            string match -q -- "$word"\t\* $subcommands; or return 1
            set at (string trim -- "$at $word")
            set literal
            __dsttool_at $at
        else
            set -a words $word
        end
    end
    return 0
end

# Print the values of a kind. $argv: the kind, what stands before the value in the same word, and the value so far.
function __dsttool_values --no-scope-shadowing
    set -l choices
    set -l live
    set -l files
    set -l before_value $argv[2]
    set -l begun $argv[3]
    if string match -q -- '=*' $argv[1]
        set choices (string split '|' -- (string sub -s 2 -- $argv[1]))
    else
        __dsttool_kind $argv[1]
    end
    for each in $choices
        echo -- $before_value$each
    end
    if test -n "$live" -a -z "$remote"
        set -l of
        string match -q -- '* 1' $live; and set of $words[1]
        set -l program (string replace -r '^~/' "$HOME/" -- $program)
        for each in (command $program __names (string split ' ' -- $live)[1] "$of" 2>/dev/null </dev/null)
            if test -n "$before_value$pending"; or not contains -- (string split -m1 \t -- $each)[1] $words
                echo -- $before_value$each
            end
        end
    end
    if test "$files" = path
        string match -q -- '*/*' $begun; and not string match -q -- '*://*' $begun; and set files file
    end
    switch "$files"
        case file
            for each in (__fish_complete_path $begun)
                echo -- $before_value$each
            end
        case folder
            for each in (__fish_complete_directories $begun)
                echo -- $before_value$each
            end
    end
end

function __dsttool_complete
    set -l typed (commandline -opc)
    set -l program $typed[1]
    set -l before $typed[2..-1]
    set -l current (commandline -ct | string unescape 2>/dev/null; or commandline -ct)
    set -l at
    set -l words
    set -l used
    set -l pending
    set -l literal
    set -l remote
    set -l value
    set -l subcommands
    set -l switches
    set -l operands
    __dsttool_walk; or return
    if test -n "$pending"
        __dsttool_values $pending '' "$current"
    else if string match -q -- '--*=*' $current; and test -z "$literal"
        set -l form (string split -m1 = -- $current)
        __dsttool_option $form[1]
        test -z "$value" -o "$value" = -; or __dsttool_values $value $form[1]= "$form[2]"
    else if string match -q -- '-*' $current; and test -z "$literal"
        for each in $switches
            set -l spec (string split -m1 \t -- $each)
            set -l forms (string split -m1 : -- $spec[1])
            if string match -q -- '*\*' $forms[2]; or not contains -- $forms[1] $used
                for form in (string split , -- $forms[1])
                    echo -- $form\t$spec[2]
                end
            end
        end
    else if test -n "$subcommands"
        for each in $subcommands
            echo -- $each
        end
    else if test -n "$operands"
        set -l index (math (count $words) + 1)
        if test $index -ge (count $operands); and string match -q -- '*...' $operands[-1]
            set index (count $operands)
        end
        if test $index -le (count $operands)
            __dsttool_values (string replace '...' '' -- $operands[$index]) '' "$current"
        end
    end
end

complete -c dsttool -f -a '(__dsttool_complete)'
