# bash completion for dsttool.
# Generated from the command tree: dsttool completion bash > completions/dsttool.bash
#
# It needs bash 4.4 and nothing else. Only names of what runs or is configured come from the program.

# What may follow the words of a command: `subcommands`; `switches`
# (-f,--form:VALUE, where VALUE is a kind, =a|b|c for such words, or - for none; a * at the end if the option
# may be repeated); `operands` (kinds; ... repeats the last).
@TABLES@

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
