#compdef dsttool
# zsh completion for dsttool.
# Generated from the command tree: dsttool completion zsh > completions/_dsttool
#
# Only names of what runs or is configured come from the program.

# What may follow the words of a command, each with its help after a tab: `subcommands`; `switches`
# (-f,--form:VALUE, where VALUE is a kind, =a|b|c for such words, or - for none; a * at the end if the option
# may be repeated); `operands` (kinds; ... repeats the last).
@TABLES@

# The value that an option of this form takes, in `value`: '' for no such option.
_dsttool_option() {
    local each
    value=
    for each in "${(@)switches%%$'\t'*}"; do
        if [[ ",${each%%:*}," == *",$1,"* ]]; then
            value=${${each#*:}%\*}
            used+=",${each%%:*},"
            return
        fi
    done
}

# Follow the words before the cursor.
_dsttool_walk() {
    local word
    local -i i
    at= words_given=() used=, pending= literal= remote=
    _dsttool_at ""
    for word in "$before[@]"; do
        if [[ -n $pending ]]; then
            pending=
        elif [[ $word == -- && -z $literal ]]; then
            literal=1
        elif [[ $word == --* && -z $literal ]]; then
            [[ ${word%%=*} == --host ]] && remote=1
            _dsttool_option "${word%%=*}"
            [[ $word == *=* || $value == - ]] || pending=$value
        elif [[ $word == -?* && -z $literal ]]; then
            for ((i = 2; i <= $#word; i++)); do
                _dsttool_option "-$word[i]"
                if [[ -n $value && $value != - ]]; then
                    ((i < $#word)) || pending=$value
                    break
                fi
            done
        elif (($#subcommands)); then
            (( ${${(@)subcommands%%$'\t'*}[(Ie)$word]} )) || return 1
            at=${at:+$at }$word literal=
            _dsttool_at "$at"
        else
            words_given+=("$word")
        fi
    done
}

# Offer lines of a word and, after a tab, its help. $1: what they are; what ends in = : / takes no blank after it.
_dsttool_offer() {
    local what=$1 each name
    local -a whole begun as
    as=(-t $what)
    [[ $what == options ]] && as=(-o)
    shift
    for each; do
        name=${${each%%$'\t'*}//:/\\:}
        [[ $each == *$'\t'* ]] && each=:${each#*$'\t'} || each=
        if [[ $name == *[=:/] ]]; then
            begun+=("$name$each")
        else
            whole+=("$name$each")
        fi
    done
    (($#whole)) && _describe $as "$what" whole && offered=0
    (($#begun)) && _describe $as "$what" begun -S '' && offered=0
}

# Offer the values of a kind.
_dsttool_values() {
    local live= files= of= line
    local -a choices lines
    if [[ $1 == '='* ]]; then
        choices=("${(@s:|:)${1#=}}")
    else
        _dsttool_kind "$1"
    fi
    _dsttool_offer values "$choices[@]"
    if [[ -n $live && -z $remote ]]; then
        [[ $live == *' 1' ]] && of=$words_given[1]
        for line in "${(@f)$("${program/#\~\//$HOME/}" __names "${live% 1}" "$of" 2>/dev/null </dev/null)}"; do
            [[ -n $line ]] || continue
            [[ -z $pending ]] && (( ${words_given[(Ie)${line%%$'\t'*}]} )) && continue
            lines+=("$line")
        done
        _dsttool_offer names "$lines[@]"
    fi
    case $files in
    (file) _files && offered=0 ;;
    (folder) _files -/ && offered=0 ;;
    (path) [[ $PREFIX == */* && $PREFIX != *://* ]] && _files && offered=0 ;;
    esac
}

_dsttool() {
    local program=$words[1] at used pending literal remote value kind each
    local -a subcommands switches operands before words_given lines
    local -i index offered=1
    before=("${(@Q)words[2,CURRENT-1]}")
    _dsttool_walk || return 1
    if [[ -n $pending ]]; then
        _dsttool_values "$pending"
    elif [[ $PREFIX == --*=* && -z $literal ]]; then
        _dsttool_option "${PREFIX%%=*}"
        pending=$value
        compset -P 1 '*='
        [[ -z $value || $value == - ]] || _dsttool_values "$value"
    elif [[ $PREFIX == -* && -z $literal ]]; then
        for each in "$switches[@]"; do
            value=${${each%%$'\t'*}%%:*}
            [[ ${each%%$'\t'*} == *\* || $used != *",$value,"* ]] || continue
            for kind in "${(@s:,:)value}"; do
                lines+=("$kind"$'\t'"${each#*$'\t'}")
            done
        done
        _dsttool_offer options "$lines[@]"
    elif (($#subcommands)); then
        _dsttool_offer commands "$subcommands[@]"
    elif (($#operands)); then
        index=$(($#words_given + 1))
        if ((index >= $#operands)) && [[ $operands[-1] == *... ]]; then
            index=$#operands
        fi
        kind=${operands[index]%...}
        [[ -z $kind ]] || _dsttool_values "$kind"
    fi
    return offered
}

if [[ $funcstack[1] == _dsttool ]]; then
    _dsttool "$@"
else
    compdef _dsttool dsttool
fi
