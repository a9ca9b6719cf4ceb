# bash completion for dsttool.
# Generated from the command tree: dsttool completion bash > completions/dsttool.bash
#
# It needs bash 4.4 and nothing else. Only names of what runs or is configured come from the program.

# What may follow the words of a command: `subcommands`; `switches`
# (-f,--form:VALUE, where VALUE is a kind, =a|b|c for such words, or - for none; a * at the end if the option
# may be repeated); `operands` (kinds; ... repeats the last).
_dsttool_at() {
    subcommands= switches= operands=
    case $1 in
    '')
        subcommands='export array node resync policy status iostat events tx wait uri info cp bench tui console demo key daemon logs record schema ctl doctor config completion man version'
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        ;;
    'export')
        switches='--name:TEXT* --size:TEXT --listen:LISTEN* --read-only:- --shared:- -d,--detach:- -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --dry-run:- --security:SECURITY --key:FILE --access:TEXT* --invite:- --invite-expires:TEXT --metrics:PLACE --log-format:=text|json|journal -h,--help:-'
        operands='DEVICE...'
        ;;
    'array')
        subcommands='create up down list show discard delete'
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        ;;
    'array create')
        switches='--layout:LAYOUT --raw:- --chunk:TEXT --read-policy:=nearest|round_robin|first --listen:LISTEN* --invite-file:FILE* -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --dry-run:- --security:SECURITY --key:FILE --access:TEXT* -h,--help:-'
        operands='TEXT NODE...'
        ;;
    'array up')
        switches='--layout:LAYOUT --raw:- --chunk:TEXT --read-policy:=nearest|round_robin|first --listen:LISTEN* --assume-clean:- --resync-from:NODE --degraded:- --wait:TEXT --read-only:- --shared:- --takeover:- --confirm:TEXT --foreground:- -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --dry-run:- --security:SECURITY --key:FILE --access:TEXT* --invite:- --invite-expires:TEXT --metrics:PLACE --log-format:=text|json|journal -h,--help:-'
        operands='STARTABLE STARTABLE_OR_NODE...'
        ;;
    'array down')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='ARRAY...'
        ;;
    'array list')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        ;;
    'array show')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='ANY_ARRAY'
        ;;
    'array discard')
        switches='--confirm:TEXT -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='ARRAY MEMBER'
        ;;
    'array delete')
        switches='--forget:- --confirm:TEXT -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --dry-run:- -h,--help:-'
        operands='ANY_ARRAY'
        ;;
    'node')
        subcommands='list suspend resume'
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        ;;
    'node list')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='ARRAY'
        ;;
    'node suspend')
        switches='--for:TEXT -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='ARRAY MEMBER'
        ;;
    'node resume')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='ARRAY MEMBER'
        ;;
    'resync')
        subcommands='status start pause stop limit'
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        ;;
    'resync status')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='ARRAY'
        ;;
    'resync start')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='ARRAY'
        ;;
    'resync pause')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='ARRAY'
        ;;
    'resync stop')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='ARRAY MEMBER'
        ;;
    'resync limit')
        switches='--floor:TEXT --ceiling:TEXT -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='ARRAY'
        ;;
    'policy')
        subcommands='show set'
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        ;;
    'policy show')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='ARRAY_NODE'
        ;;
    'policy set')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='ARRAY_NODE POLICY...'
        ;;
    'status')
        switches='--watch:TEXT --exit-code:- -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='SERVED'
        ;;
    'iostat')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='SERVED_NODE TEXT TEXT...'
        ;;
    'events')
        switches='-f,--follow:- --since:TEXT --level:=info|warning|error -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='SERVED_NODE'
        ;;
    'tx')
        subcommands='list show'
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        ;;
    'tx list')
        switches='--filter:FILTER -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='SERVED_NODE'
        ;;
    'tx show')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='SERVED_NODE TRANSACTION'
        ;;
    'wait')
        switches='--for:=up|clean|connected|degraded -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='SERVED'
        ;;
    'uri')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='SERVED'
        ;;
    'info')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -h,--help:-'
        operands='PLACE'
        ;;
    'cp')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --dry-run:- -h,--help:-'
        operands='PLACE PLACE'
        ;;
    'bench')
        switches='--rw:=randread|randwrite|read|write --bs:TEXT --depth:TEXT --time:TEXT -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --dry-run:- -h,--help:-'
        operands='PLACE'
        ;;
    'tui')
        switches='--replay:FILE --read-only:- --ascii:- -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --host:HOST* -h,--help:-'
        ;;
    'console')
        switches='-c,--command:COMMAND* -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --host:HOST* -h,--help:-'
        ;;
    'demo')
        switches='--keep:- -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --dry-run:- -h,--help:-'
        ;;
    'key')
        subcommands='generate show authorize revoke list'
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        ;;
    'key generate')
        switches='--shared:- -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --dry-run:- -h,--help:-'
        operands='FILE'
        ;;
    'key show')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -h,--help:-'
        operands='FILE'
        ;;
    'key authorize')
        switches='--export:EXPORT* --read-only:- --name:TEXT -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --dry-run:- -h,--help:-'
        operands='TEXT'
        ;;
    'key revoke')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --dry-run:- -h,--help:-'
        operands='KEY'
        ;;
    'key list')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -h,--help:-'
        ;;
    'daemon')
        subcommands='list stop reload tune'
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        ;;
    'daemon list')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        ;;
    'daemon stop')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='DAEMON...'
        ;;
    'daemon reload')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='DAEMON...'
        ;;
    'daemon tune')
        switches='--crypto-threads:TEXT -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        operands='DAEMON'
        ;;
    'logs')
        switches='-f,--follow:- -q,--quiet:- -v,--verbose:-* --color:=auto|always|never -h,--help:-'
        operands='LOG'
        ;;
    'record')
        switches='--for:TEXT --max-size:TEXT -q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --dry-run:- --host:HOST* -h,--help:-'
        operands='FILE'
        ;;
    'schema')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -h,--help:-'
        operands='SCHEMA'
        ;;
    'ctl')
        switches='--stdio:- -q,--quiet:- -v,--verbose:-* --color:=auto|always|never -h,--help:-'
        ;;
    'doctor')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT --host:HOST* -h,--help:-'
        operands='SERVED'
        ;;
    'config')
        subcommands='show check path'
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -y,--yes:- --no-input:- --timeout:TEXT --dry-run:- --host:HOST* -h,--help:-'
        ;;
    'config show')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl --timeout:TEXT -h,--help:-'
        operands='=array|export CONFIGURED'
        ;;
    'config check')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -h,--help:-'
        operands='FILE...'
        ;;
    'config path')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -h,--help:-'
        ;;
    'completion')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never -h,--help:-'
        operands='=bash|zsh|fish'
        ;;
    'man')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never -h,--help:-'
        operands='PAGE PAGE_OF TEXT...'
        ;;
    'version')
        switches='-q,--quiet:- -v,--verbose:-* --color:=auto|always|never --json:- -o,--output:=table|plain|json|jsonl -h,--help:-'
        ;;
    esac
}

# What values of a kind can be.
_dsttool_kind() {
    case $1 in
    HOST)
        choices='ssh:// local'
        ;;
    LISTEN)
        choices='dst:// dst+unix:///?socket= dst+vsock:// dst+mptcp:// nbd:// nbd+unix:///?socket='
        ;;
    SECURITY)
        choices='none checksum aes256gcm chacha20poly1305'
        ;;
    FILE)
        files='file'
        ;;
    PLACE)
        choices='dst:// dst+unix:/// dst+vsock:// dst+mptcp:// nbd:// nbd+unix:/// nbds:// nbds+unix:/// file: mem:'
        live='served'
        files='file'
        ;;
    DEVICE)
        choices='file: mem: dst:// dst+unix:/// dst+vsock:// dst+mptcp:// nbd:// nbd+unix:/// nbds:// nbds+unix:///'
        live='startable-exports'
        files='file'
        ;;
    LAYOUT)
        choices='linear stripe mirror'
        ;;
    NODE)
        choices='dst:// dst+unix:/// dst+vsock:// dst+mptcp:// nbd:// nbd+unix:/// nbds:// nbds+unix:/// file: mem:'
        live='served'
        files='path'
        ;;
    STARTABLE)
        live='startable-arrays'
        ;;
    STARTABLE_OR_NODE)
        choices='dst:// dst+unix:/// dst+vsock:// dst+mptcp:// nbd:// nbd+unix:/// nbds:// nbds+unix:/// file: mem:'
        live='startable-arrays'
        files='path'
        ;;
    ARRAY)
        live='arrays'
        ;;
    ANY_ARRAY)
        live='all-arrays'
        ;;
    MEMBER)
        live='nodes 1'
        ;;
    ARRAY_NODE)
        live='array-nodes'
        ;;
    POLICY)
        choices='resend_timeout= resends= ping_interval= ping_misses= connect_timeout= backoff_min= backoff_max= window= on_exhausted=fail on_exhausted=freeze links='
        ;;
    SERVED)
        live='served'
        ;;
    SERVED_NODE)
        live='served-nodes'
        ;;
    FILTER)
        choices='state: node: op: flags: name: client: age> length> attempts> budget< id:'
        ;;
    TRANSACTION)
        live='transactions 1'
        ;;
    EXPORT)
        live='exports'
        ;;
    KEY)
        live='keys'
        ;;
    DAEMON)
        live='daemons'
        ;;
    LOG)
        live='logs'
        ;;
    SCHEMA)
        live='schemas'
        ;;
    CONFIGURED)
        live='configured'
        ;;
    PAGE)
        live='pages'
        ;;
    PAGE_OF)
        live='pages 1'
        ;;
    esac
}

# Set `current` (the word as it is up to the cursor, without quotes), `quote` (its open one) and `before` (words).
_dsttool_read() {
    local text=${COMP_LINE:0:COMP_POINT} piece trimmed i
    local -a typed=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        piece=${COMP_WORDS[i]}
        trimmed=${text#"${text%%[![:blank:]]*}"}
        # bash splits words at ':' and '=', too; here only blanks end a word.
        if ((i == 0)) || [[ $trimmed != "$text" ]] || ((i == COMP_CWORD && ${#trimmed} == 0 && ${#text} != 0)); then
            typed+=("")
        fi
        ((i == COMP_CWORD)) && piece=$trimmed
        typed[${#typed[@]} - 1]+=$piece
        text=${trimmed#"$piece"}
    done
    current=${typed[${#typed[@]} - 1]} quote=
    case $current in
    \'*) quote=\' ;;
    \"*) quote=\" ;;
    esac
    current=${current//[\\\"\']/}
    before=("${typed[@]:1:${#typed[@]}-2}")
    before=("${before[@]//[\\\"\']/}")
}

# The value that an option of this form takes, in `value`: '' for no such option.
_dsttool_option() {
    local each
    value=
    for each in $switches; do
        if [[ ",${each%%:*}," == *",$1,"* ]]; then
            value=${each#*:} value=${value%\*}
            used+=",${each%%:*},"
            return
        fi
    done
}

# Follow the words before the cursor.
_dsttool_walk() {
    local word form i
    at= words=() used=, pending= literal= remote=
    _dsttool_at ""
    for word in "${before[@]}"; do
        if [[ -n $pending ]]; then
            pending=
        elif [[ $word == -- && -z $literal ]]; then
            literal=1
        elif [[ $word == --* && -z $literal ]]; then
            form=${word%%=*}
            [[ $form == --host ]] && remote=1
            _dsttool_option "$form"
            [[ $word == *=* || $value == - ]] || pending=$value
        elif [[ $word == -?* && -z $literal ]]; then
            for ((i = 1; i < ${#word}; i++)); do
                _dsttool_option "-${word:i:1}"
                if [[ -n $value && $value != - ]]; then
                    ((i + 1 < ${#word})) || pending=$value
                    break
                fi
            done
        elif [[ -n $subcommands ]]; then
            [[ " $subcommands " == *" $word "* ]] || return 1
            at=${at:+$at }$word literal=
            _dsttool_at "$at"
        else
            words+=("$word")
        fi
    done
}

# Add what begins with the current word to `found`; $1 stands before each, the rest are the candidates.
_dsttool_add() {
    local front=$1 each
    shift
    for each; do
        [[ $front$each == "$current"* ]] && found+=("$front$each")
    done
}

# Add files, or with $2 folders, that begin with the current word after $1.
_dsttool_files() {
    local each start=${current#"$1"}
    # The shell knows best how to complete and quote these, but only if there is nothing else.
    if ((${#found[@]} == 0)); then
        compopt -o default ${2:+-o dirnames}
        return
    fi
    while IFS= read -r each; do
        [[ -d $each ]] && each+=/
        found+=("$1$each")
    done < <(compgen -f -- "$start")
}

# Add the values of a kind. $1: the kind; $2: what stands before the value in the same word.
_dsttool_values() {
    local choices= live= files= each name of=
    case $1 in
    =*) choices=${1#=} choices=${choices//|/ } ;;
    *) _dsttool_kind "$1" ;;
    esac
    _dsttool_add "$2" $choices
    if [[ -n $live && -z $remote ]]; then
        [[ $live == *' 1' ]] && of=${words[0]}
        while IFS=$'\t' read -r name each; do
            [[ -z $2 && -z $pending && " ${words[*]} " == *" $name "* ]] || _dsttool_add "$2" "$name"
        done < <("${program/#\~\//$HOME/}" __names "${live% 1}" "$of" 2>/dev/null </dev/null)
    fi
    case $files in
    file) _dsttool_files "$2" ;;
    folder) _dsttool_files "$2" 1 ;;
    path) [[ $current == */* && $current != *://* ]] && _dsttool_files "$2" ;;
    esac
}

# The kind of the argument after `words`.
_dsttool_argument() {
    local -a kinds
    read -ra kinds <<<"$operands"
    local last=$((${#kinds[@]} - 1)) index=${#words[@]}
    ((last >= 0)) || return 1
    if ((index >= last)) && [[ ${kinds[last]} == *... ]]; then
        index=$last
    fi
    kind=${kinds[index]%...}
    [[ -n $kind ]]
}

_dsttool() {
    local program=$1 ahead=$2 current quote at used pending literal remote value kind each
    local subcommands switches operands
    local -a before words found=()
    COMPREPLY=()
    _dsttool_read
    if ! _dsttool_walk; then
        : # there is no such command
    elif [[ -n $pending ]]; then
        _dsttool_values "$pending" ""
    elif [[ $current == --*=* && -z $literal ]]; then
        _dsttool_option "${current%%=*}"
        [[ $value == - ]] || _dsttool_values "$value" "${current%%=*}="
    elif [[ $current == -* && -z $literal ]]; then
        for each in $switches; do
            value=${each%%:*}
            [[ $each != *\* && $used == *",$value,"* ]] || _dsttool_add "" ${value//,/ }
        done
    elif [[ -n $subcommands ]]; then
        _dsttool_add "" $subcommands
    elif _dsttool_argument; then
        _dsttool_values "$kind" ""
    fi
    _dsttool_reply
}

# Give the shell what it asked for: it replaces only what stands after the last ':' or '=' of the word.
_dsttool_reply() {
    local each front=
    [[ -n $ahead || $current == *[:=] ]] && [[ $current == *"${ahead//[\\\"\']/}" ]] &&
        front=${current%"${ahead//[\\\"\']/}"}
    for each in "${found[@]}"; do
        each=${each#"$front"}
        [[ -z $quote && $each == *[!A-Za-z0-9_@%+=:,./-]* ]] && printf -v each %q "$each"
        COMPREPLY+=("$each")
    done
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[=:/] ]]; then
        compopt -o nospace
    fi
}

complete -F _dsttool dsttool
