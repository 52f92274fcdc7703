"""`completions/_jitid`: a level of verbs is one call of zsh's own `_arguments`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.generate.tree import Option, Verb
from tests.generate.values import (
    Value,
    argument_value,
    bare,
    described,
    option_value,
    other_options,
    own_options,
    setting_values,
)

_HEAD = """\
#compdef jitid
# Completion of `jitid` for zsh; generated from the command tree by `python -m tests.generate`.
# Verbs, options and choices stand in the tables; only what comes out of the ledger asks jitid itself.

_jitid() {
    local curcontext=$curcontext
    local -a everywhere given typed
    # Quotes are read past; nothing is expanded, since that could run something.
    typed=("${(@Q)words[2,CURRENT-1]}")
    everywhere=(
@EVERYWHERE@
    )
    _jitid_after ''
}

# Completes what follows a verb, or the first word of one.
_jitid_after() {
    local verb=$1 context state state_descr line name ret=1
    local -a verbs own changed here
    local -A opt_args
    case $verb in
"""

_ENGINE = """\
        *) return 1 ;;
    esac
    here=($everywhere)
    # Each spec begins with the names that it excludes, or with an asterisk if it may be repeated. What was given
    # further left is not offered again; what means something else here is among this verb's own.
    for name in $changed; do
        here=(${here:#\\((|* )$name(| *)\\)*})
        here=(${here:#\\*$name=*})
    done
    here+=($own)
    for name in $given; do
        here=(${here:#\\((|* )$name(| *)\\)*})
    done
    if (( $#verbs )); then
        here+=('(-): :->verb' '(-)*:: :->rest')
    fi
    _arguments -C -s -S $here && ret=0
    case $state in
        verb) _describe -t verbs verb verbs && ret=0 ;;
        rest)
            given+=("${(@k)opt_args}")
            _jitid_after "${verb:+$verb }$words[1]" && ret=0
            ;;
    esac
    return ret
}

# Offers what the sources have: names out of the ledger, files, folders, the values of a setting.
_jitid_from() {
    local source ret=1
    for source; do
        case $source in
            files) _files && ret=0 ;;
            folders) _files -/ && ret=0 ;;
            setting) _jitid_setting $line[1] && ret=0 ;;
            *) _jitid_ask $source && ret=0 ;;
        esac
    done
    return ret
}

_jitid_setting() {
    case $1 in
@SETTINGS@
        *) return 1 ;;
    esac
}

# Completes a command line of its own as if it stood alone.
_jitid_command() {
    # `_arguments` counts a `--` with no option before it among the words.
    if [[ $words[1] == -- ]]; then
        shift words
        (( CURRENT-- ))
    fi
    _normal
}

_jitid_ask() {
    local each
    local -i width=0
    local -a names told expl
    for each in "${(@f)$(command jitid __complete $1 "${(Q)PREFIX}" "${(@)typed}" 2>/dev/null </dev/null)}"; do
        [[ -n $each ]] || continue
        names+=("${each%%$'\t'*}")
        told+=("${${each#$names[-1]}#$'\t'}")
        (( width = $#names[-1] > width ? $#names[-1] : width ))
    done
    if [[ -z ${(j::)told} ]] || ! zstyle -T ":completion:$curcontext:$1" verbose; then
        _wanted -V $1 expl ${1%s} compadd -a names
        return
    fi
    # One a line, in the order of the ledger: the newest come first.
    for (( each = 1; each <= $#names; each++ )); do
        told[each]="${(r:$width:)names[each]}${told[each]:+  -- $told[each]}"
        told[each]=${told[each][1,COLUMNS-1]}
    done
    _wanted -V $1 expl ${1%s} compadd -l -d told -a names
}

if [[ $funcstack[1] == _jitid ]]; then
    _jitid "$@"
elif (( $+functions[compdef] )); then
    compdef _jitid jitid
fi
"""


def text(verbs: Sequence[Verb]) -> str:
    """Return the whole script."""
    root = verbs[0]
    sentences = {verb.name: verb.sentence for verb in verbs}
    everywhere = [spec for option in root.options if not option.root_only for spec in _specs(root, option)]
    lines = [_HEAD.replace("@EVERYWHERE@", "\n".join(f"        {_quoted(spec)}" for spec in everywhere))]
    for verb in verbs:
        specs = [spec for option in own_options(root, verb) for spec in _specs(verb, option)]
        lines += [
            f"        {_quoted(verb.name)})\n",
            *_array("verbs", [_told(word, sentences[f"{verb.name} {word}".strip()]) for word in verb.verbs]),
            *_array("own", [*specs, *_arguments(verb)]),
            *_array("changed", [name for option in other_options(root, verb) for name in option.names]),
            "            ;;\n",
        ]
    settings = "\n".join(f"        {name}) {_offer(value)} ;;" for name, value in setting_values().items())
    return "".join(lines) + _ENGINE.replace("@SETTINGS@", settings)


def _specs(verb: Verb, option: Option) -> Iterator[str]:
    """Yield the spec of each spelling: the options that it excludes, the spelling, the description, the value."""
    value = option_value(verb, option)
    first = "*" if option.repeatable else f"({' '.join(option.names)})"
    for name in option.names:
        # With `=`, the value may also be the next word.
        spelling = name if value is None else f"{name}=" if name.startswith("--") else f"{name}+"
        told = f"{first}{spelling}[{_escaped(described(option.help))}]"
        yield told if value is None else f"{told}:{name.lstrip('-')}:{_action(value)}"


def _arguments(verb: Verb) -> Iterator[str]:
    for number, argument in enumerate(verb.arguments, start=1):
        value = argument_value(argument)
        name = bare(argument.metavar).lower().replace("|", " or ")
        if "command" in value.sources:
            # The options after the command are its own.
            yield "(-)*:: : _jitid_command"
        elif argument.many:
            yield f"*:{name}:{_action(value)}"
        else:
            yield f"{number}:{'' if argument.required else ':'}{name}:{_action(value)}"


def _action(value: Value) -> str:
    if value.words:
        return f"({' '.join(value.words)})"
    # The leading space makes it a plain call: otherwise the function would get the options of `compadd`.
    return f" _jitid_from {' '.join(value.sources)}" if value.sources else " "


def _offer(value: Value) -> str:
    return f"compadd -- {' '.join(value.words)}" if value.words else f"_jitid_from {' '.join(value.sources)}"


def _told(word: str, sentence: str) -> str:
    return f"{word}:{_escaped(described(sentence))}"


def _array(name: str, values: Sequence[str]) -> list[str]:
    if not values:
        return []
    return [
        f"            {name}=(\n",
        *(f"                {_quoted(each)}\n" for each in values),
        "            )\n",
    ]


def _escaped(text: str) -> str:
    return "".join(f"\\{each}" if each in "\\[]:" else each for each in text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
