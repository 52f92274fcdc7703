"""`completions/jitid.bash`: a table of the possible words after each verb, and the functions that read it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.generate.tree import Option, Verb
from tests.generate.values import Value, argument_value, option_value, own_options, setting_values

_HEAD = """\
# Completion of `jitid` for bash; generated from the command tree by `python -m tests.generate`.
# Verbs, options and choices stand in the table; only what comes out of the ledger asks jitid itself.

# Sets what can follow a verb: `verbs` are the second words of a group, the others are lists of
#   options    NAME|NAME=SOURCE, without `=` a flag; with a `+` after the names it may be repeated
#   arguments  SOURCE, with a `+` any number of them
# A SOURCE is `:WORD,WORD`, or any of ids tasks agents records delegators known keys approvals access adopted leaks
# kinds files folders command setting, joined by `/`.
__jitid_table() {
    local everywhere="@EVERYWHERE@"
    verbs='' options=$everywhere arguments=''
    case $1 in
"""

_ENGINE = r"""
    esac
}

# Sets `wanted` to the source of a setting's value.
__jitid_setting() {
    case $1 in
@SETTINGS@
    *) wanted='' ;;
    esac
}

# Sets `typed` to the words before the cursor, put together again where bash has cut them at `=`, `:` and `@`,
# `places` to where in COMP_WORDS each begins, and `cut` to what stands of the last one before the piece that
# readline will replace.
__jitid_read() {
    local line=${COMP_LINE:0:COMP_POINT} space piece glue='' last=-1 i
    typed=() places=() cut=''
    for ((i = 0; i <= COMP_CWORD; i++)); do
        piece=${COMP_WORDS[i]}
        space=${line%%[![:space:]]*}
        line=${line#"$space"}
        if ((i == COMP_CWORD)); then
            piece=$line
        fi
        line=${line#"$piece"}
        if ((i > 1)) && [[ -z $space ]] && { [[ -n $glue ]] || __jitid_consists "$piece" '=:@' ||
            { __jitid_redirects "$piece" && __jitid_consists "${typed[last]}" '0-9'; }; }; then
            cut=${typed[last]}
            typed[last]+=$piece
        else
            cut='' last=$((last + 1))
            typed[last]=$piece places[last]=$i
        fi
        glue=''
        if __jitid_consists "$piece" '=:@'; then
            glue=1
        fi
    done
    if [[ -n $glue ]]; then
        cut=${typed[last]}
    fi
    # Where names of hosts are completed behind an `@`, readline replaces the `@` too.
    if [[ $cut == *@ ]] && shopt -q hostcomplete; then
        cut=${cut%@}
    fi
}

__jitid_consists() {
    [[ -n $1 && -z ${1//[$2]/} ]]
}

__jitid_redirects() {
    [[ $1 == *[\<\>]* && -z ${1//[0-9<>&|]/} ]]
}

# Sets `wanted` to the source of an option's value, empty for a flag, and notes that the option was given.
__jitid_meet() {
    local entry names
    wanted=''
    for entry in $options; do
        names=${entry%%[=+]*}
        if [[ "|$names|" == *"|$1|"* ]]; then
            if [[ ${entry%%=*} != *+ ]]; then
                given+="${names//|/ } "
            fi
            if [[ $entry == *=* ]]; then
                wanted=${entry#*=}
            fi
            return 0
        fi
    done
}

__jitid_offer() {
    local each
    for each; do
        each=$head$each
        if [[ $each == "$current"* ]]; then
            COMPREPLY+=("${each#"$cut"}")
        fi
    done
}

__jitid_offer_options() {
    local entry names name
    for entry in $options; do
        names=${entry%%[=+]*}
        for name in ${names//|/ }; do
            if [[ $given != *" $name "* ]]; then
                __jitid_offer "$name"
                given+="$name "
            fi
        done
    done
}

# Offers what a source has for the value of `current` behind `head`.
__jitid_offer_from() {
    local value=${current#"$head"} list=${1#:} source found
    if [[ $1 == :* ]]; then
        __jitid_offer ${list//,/ }
        return 0
    fi
    for source in ${1//\// }; do
        case $source in
        ids | tasks | agents | records | delegators | known | keys | approvals | access | adopted | leaks | kinds)
            while IFS= read -r found; do
                if [[ -n $found ]]; then
                    __jitid_offer "${found%%$'\t'*}"
                fi
            done <<<"$(command jitid __complete "$source" "$value" "${before[@]}" 2>/dev/null </dev/null)"
            # The newest come first.
            compopt -o nosort 2>/dev/null
            ;;
        files)
            # Readline's own completion, which knows all about quoting, comes where there is nothing else.
            if ((${#COMPREPLY[@]})); then
                while IFS= read -r found; do
                    if [[ -n $found ]]; then
                        __jitid_offer "$found"
                    fi
                done <<<"$(compgen -f -- "$value")"
                compopt -o filenames 2>/dev/null
            else
                compopt -o default 2>/dev/null
            fi
            ;;
        folders)
            compopt -o dirnames 2>/dev/null
            ;;
        setting)
            __jitid_setting "$argument"
            if [[ -n $wanted ]]; then
                __jitid_offer_from "$wanted"
            fi
            ;;
        esac
    done
    return 0
}

# Completes the command that begins at a place in COMP_WORDS as if it stood alone.
__jitid_command() {
    local each
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif (($1 == COMP_CWORD)); then
        while IFS= read -r each; do
            COMPREPLY+=("$each")
        done <<<"$(compgen -c -- "$current")"
    else
        compopt -o default 2>/dev/null
    fi
}

_jitid() {
    local IFS=$' \t\n'
    local verb='' verbs options arguments wanted='' given=' ' rest='' aside='' argument='' count=0
    local cut='' head='' current word last i
    local -a typed places before
    COMPREPLY=()
    __jitid_read
    last=$((${#typed[@]} - 1))
    # Quotes are read past; nothing is expanded, since that could run something.
    current=${typed[last]//[\"\'\\]/}
    cut=${cut//[\"\'\\]/}
    # An empty list would be an error in an old bash under `set -u`.
    before=('')
    for ((i = 1; i < last; i++)); do
        before[i]=${typed[i]//[\"\'\\]/}
    done
    __jitid_table ''
    for ((i = 1; i < last; i++)); do
        word=${before[i]}
        if [[ -n $aside ]]; then
            aside=''
        elif __jitid_redirects "${typed[i]}"; then
            aside=1
        elif [[ -n $wanted ]]; then
            wanted=''
        elif [[ -z $rest && $word == -- ]]; then
            rest=1
        elif [[ -z $rest && $word == -?* ]]; then
            __jitid_meet "${word%%=*}"
            if [[ $word == *=* ]]; then
                wanted=''
            fi
        elif [[ -n $verbs ]]; then
            if [[ " $verbs " != *" $word "* ]]; then
                return 0
            fi
            verb="${verb:+$verb }$word"
            __jitid_table "$verb"
        elif [[ $arguments == command* ]]; then
            __jitid_command "${places[i]}"
            return 0
        else
            argument=$word count=$((count + 1))
        fi
    done
    if [[ -n $aside ]]; then
        compopt -o default 2>/dev/null
    elif [[ -n $wanted ]]; then
        __jitid_offer_from "$wanted"
    elif [[ -z $rest && $current == -*=* ]]; then
        head="${current%%=*}="
        __jitid_meet "${current%%=*}"
        __jitid_offer_from "$wanted"
    elif [[ -z $rest && $current == -* ]]; then
        __jitid_offer_options
    elif [[ -n $verbs ]]; then
        __jitid_offer $verbs
    elif [[ $arguments == command* ]]; then
        __jitid_command "${places[last]}"
    else
        for wanted in $arguments; do
            if ((count == 0)) || [[ $wanted == *+ ]]; then
                __jitid_offer_from "${wanted%+}"
                return 0
            fi
            count=$((count - 1))
        done
        if [[ -z $rest && -z $current ]]; then
            __jitid_offer_options
        fi
    fi
    return 0
}

complete -F _jitid jitid
"""


def text(verbs: Sequence[Verb]) -> str:
    """Return the whole script."""
    root = verbs[0]
    everywhere = " ".join(_entry(root, option) for option in root.options if not option.root_only)
    lines = [_HEAD.replace("@EVERYWHERE@", everywhere)]
    for verb in verbs:
        lines.append(f"    '{verb.name}')\n")
        if verb.verbs:
            lines.append(f"        verbs='{' '.join(verb.verbs)}'\n")
        # The first entry of a name takes precedence.
        own = " ".join(_entry(verb, option) for option in own_options(root, verb))
        if own:
            lines.append(f'        options="{own} $everywhere"\n')
        if verb.arguments:
            sources = [_source(argument_value(each)) + ("+" if each.many else "") for each in verb.arguments]
            lines.append(f"        arguments='{' '.join(sources)}'\n")
        lines.append("        ;;\n")
    settings = [f"    {name}) wanted='{_source(value)}' ;;\n" for name, value in setting_values().items()]
    return "".join(lines) + _ENGINE.removeprefix("\n").replace("@SETTINGS@\n", "".join(settings))


def _entry(verb: Verb, option: Option) -> str:
    value = option_value(verb, option)
    return (
        "|".join(option.names)
        + ("+" if option.repeatable else "")
        + ("" if value is None else f"={_source(value)}")
    )


def _source(value: Value) -> str:
    for word in value.words:
        # The script splits the table at its separators, so a word must not contain one.
        assert word.replace("-", "").replace("_", "").replace(".", "").isalnum(), word
    if value.words:
        return ":" + ",".join(value.words)
    return "/".join(value.sources) or "nothing"
