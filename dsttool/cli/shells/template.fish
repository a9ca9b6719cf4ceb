# fish completion for dsttool.
# Generated from the command tree: dsttool completion fish > completions/dsttool.fish
#
# Only names of what runs or is configured come from the program.

# What may follow the words of a command, each with its help after a tab: `subcommands`; `switches`
# (-f,--form:VALUE, where VALUE is a kind, =a|b|c for such words, or - for none; a * at the end if the option
# may be repeated); `operands` (kinds; ... repeats the last).
@TABLES@

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
