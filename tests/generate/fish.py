"""`completions/jitid.fish`: one line for each verb, option and argument, with the condition under which it applies."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from jitid.values.declaration import Source
from tests.generate.tree import Option, Verb
from tests.generate.values import (
    Value,
    argument_value,
    bare,
    described,
    option_value,
    own_options,
    setting_values,
)

_HEAD = """\
# Completion of `jitid` for fish; generated from the command tree by `python -m tests.generate`.
# Verbs, options and choices stand in the lines below; only what comes out of the ledger asks jitid itself.

# The words before the cursor, the one that is being typed not among them.
function __jitid_typed
    set -l words (commandline -pxc 2>/dev/null; or commandline -poc)
    # Variables may be set for the command: NAME=VALUE jitid …
    while string match -qr '^\\w+=' -- $words[1]
        set -e words[1]
    end
    test (count $words) -gt 1; and printf '%s\\n' $words[2..]
end

# Sets __jitid_verb, __jitid_count and __jitid_last to the verb, how many arguments stand behind it, and the last one;
# __jitid_given to the options that need not be offered again; __jitid_command to a command line of its own.
function __jitid_read
    set -l line (commandline -pc)
    # It is asked for each line below, and the answer is the same for all.
    if set -q __jitid_line; and test "$line" = "$__jitid_line"
        return
    end
    set -g __jitid_line $line
    set -g __jitid_verb ''
    set -g __jitid_count 0
    set -g __jitid_last ''
    set -g __jitid_given
    set -g __jitid_command
    set -l valued @VALUED@
    # Options without a value here, which have one after other verbs.
    set -l flags @FLAGS@
    set -l groups '' @GROUPS@
    set -l commands @COMMANDS@
    set -l waiting ''
    set -l rest 0
    set -l words (__jitid_typed)
    for place in (seq (count $words))
        set -l word $words[$place]
        if test -n "$waiting"
            set waiting ''
        else if test $rest = 0; and test "$word" = --
            set rest 1
        else if test $rest = 0; and string match -qr '^-.' -- $word
            set -l name (string split -m 1 = -- $word)[1]
            contains -- $name $__jitid_given; or set -a __jitid_given $name
            if test "$name" = "$word"; and contains -- $name $valued
                and not contains -- "$__jitid_verb:$name" $flags
                set waiting $name
            end
        else if contains -- "$__jitid_verb" $groups
            set __jitid_verb (string trim -- "$__jitid_verb $word")
        else if contains -- "$__jitid_verb" $commands
            set __jitid_command $words[$place..]
            break
        else
            set __jitid_count (math $__jitid_count + 1)
            set __jitid_last $word
        end
    end
    # The option whose value is being typed is still needed.
    if test -n "$waiting"
        set __jitid_given (string match -v -- $waiting $__jitid_given)
    end
end

# Tells whether the cursor is behind a verb (`*`: behind any), and none of the options has been given.
function __jitid_at --argument-names verb
    __jitid_read
    test (count $__jitid_command) = 0; or return 1
    test "$verb" = '*'; or test "$verb" = "$__jitid_verb"; or return 1
    for name in $argv[2..]
        contains -- $name $__jitid_given; and return 1
    end
    return 0
end

# Offers names out of the ledger.
function __jitid_ask --argument-names what
    command -q jitid; or return
    set -l current (commandline -ct | string replace -r -- '^--[a-z-]+=' '' | string trim -c '"\\'')
    # Where there is nothing to tell, fish would show the description of the option instead.
    command jitid __complete $what "$current" (__jitid_typed) 2>/dev/null </dev/null |
        string replace -r '^[^\\t]+$' '$0\\t'(string trim -r -c s -- $what)
end

# Offers the values of the setting that the word before names.
function __jitid_setting
    switch $__jitid_last
@SETTINGS@
    end
end

# Completes a command line of its own as if it stood alone.
function __jitid_command_line
    __jitid_read
    set -l line (string escape -- $__jitid_command) (commandline -ct)
    # Before a command, what begins with a dash is not part of one.
    string match -q -- '-*' "$line"; and return
    complete --do-complete="$line"
end

complete -c jitid -f
"""

_TAB = "\\t"


def text(verbs: Sequence[Verb]) -> str:
    """Return the whole script."""
    root = verbs[0]
    sentences = {verb.name: verb.sentence for verb in verbs}
    valued = {name: 0 for verb in verbs for option in verb.options if option.metavar for name in option.names}
    head = (
        _HEAD.replace("@VALUED@", " ".join(valued))
        .replace("@FLAGS@", " ".join(_quoted(flag) for flag in _flags(verbs, valued)))
        .replace("@GROUPS@", " ".join(_quoted(verb.name) for verb in verbs if verb.verbs and verb.name))
        .replace("@COMMANDS@", " ".join(_quoted(verb.name) for verb in verbs if _takes_command(verb)))
        .replace("@SETTINGS@", "\n".join(_settings()))
    )
    lines = [_option(root, "*", option) for option in root.options if not option.root_only]
    for verb in verbs:
        lines += ["", f"# jitid {verb.name}".rstrip()]
        for word in verb.verbs:
            told = described(sentences[f"{verb.name} {word}".strip()])
            lines.append(_line(_at(verb.name), f"-a {word} -d {_quoted(told)}"))
        lines += [_option(verb, verb.name, option) for option in own_options(root, verb)]
        lines += _arguments(verb)
    return head + "\n".join(lines) + "\n"


def _flags(verbs: Sequence[Verb], valued: Container[str]) -> Iterator[str]:
    """Yield each verb with an option that has no value after it, and one after other verbs."""
    for verb in verbs:
        for option in verb.options:
            if option.metavar is None:
                yield from (f"{verb.name}:{name}" for name in option.names if name in valued)


def _option(verb: Verb, place: str, option: Option) -> str:
    value = option_value(verb, option)
    spelled = " ".join(
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
    )
    taken = "" if value is None else f" {_value(value, option.names[0].lstrip('-'))}"
    once = () if option.repeatable else option.names
    return _line(_at(place, *once), f"{spelled}{taken} -d {_quoted(described(option.help))}")


def _arguments(verb: Verb) -> Iterator[str]:
    if _takes_command(verb):
        yield _line(
            f"__jitid_read; and test {_quoted(verb.name)} = $__jitid_verb", "-xa '(__jitid_command_line)'"
        )
        return
    for number, argument in enumerate(verb.arguments):
        there = "" if argument.many else f"; and test $__jitid_count = {number}"
        value = argument_value(argument)
        if value.words or value.sources:
            yield _line(_at(verb.name) + there, _offered(value, bare(argument.metavar).lower()))


def _value(value: Value, name: str) -> str:
    """Return the flags that declare an option's value and its completion."""
    return f"-r {_offered(value, name)}" if value.words or value.sources else "-x"


def _offered(value: Value, name: str) -> str:
    if value.words:
        # Fish would show a word without a description with the option's description.
        return f"-fka {_quoted(' '.join(f'{word}{_TAB}{name}' for word in value.words))}"
    asked = [_asked(source) for source in value.sources if source != "files"]
    flag = "-F" if "files" in value.sources else "-f"
    return f"{flag}ka {_quoted(' '.join(asked))}" if asked else flag


def _asked(source: Source) -> str:
    match source:
        case "folders":
            return "(__fish_complete_directories)"
        case "setting":
            return "(__jitid_setting)"
        case _:
            return f"(__jitid_ask {source})"


def _settings() -> Iterator[str]:
    for name, value in setting_values().items():
        yield f"        case {name}"
        yield (
            f"            printf '%s\\n' {' '.join(value.words)}"
            if value.words
            else "            __fish_complete_directories"
        )


def _takes_command(verb: Verb) -> bool:
    return any("command" in argument_value(each).sources for each in verb.arguments)


def _at(place: str, *once: str) -> str:
    return " ".join(["__jitid_at", f'"{place}"', *once])


def _line(condition: str, offered: str) -> str:
    return f"complete -c jitid -n {_quoted(condition)} {offered}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
