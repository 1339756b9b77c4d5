"""Shell completion: commands, their options, and the overrides of train, which Hydra completes."""

from hybridnets.cli import COMMANDS
from hybridnets.cli.arguments import Parser

SHELLS = ("bash", "zsh")
# Hydra completes the line of one word and its overrides, so it gets the line without the word train; and of several values
# between commas it gets the last one alone, because it completes only one. Options and their choices are those that a
# command's help names.
SCRIPT = """\
_hybridnets() {
    local word="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=()
    if (( COMP_CWORD == 1 )); then
        COMPREPLY=($(compgen -W "%s" -- "$word"))
    elif [[ "${COMP_WORDS[1]}" == train ]]; then
        local line="hybridnets${COMP_LINE#*train}" choices
        local before=""
        if [[ "$word" == *=*,* ]]; then
            before="${word%%,*}," line="${line%%"$word"}${word%%%%=*}=${word##*,}"
        fi
        choices=$(COMP_LINE="$line" COMP_POINT="${#line}" hybridnets train -sc query=bash 2>/dev/null)
        compopt -o nospace 2>/dev/null
        if [[ -n "$before" ]]; then
            choices=$(for choice in $choices; do echo "$before${choice#*=}"; done)
        fi
        COMPREPLY=($(compgen -W "$choices" -- "$word"))
    else
        local help option="${COMP_WORDS[COMP_CWORD-1]}" choices=""
        if [[ "$word" == -* || "$option" =~ ^--[a-z-]+$ ]]; then
            help=$(hybridnets "${COMP_WORDS[1]}" --help 2>/dev/null)
        fi
        if [[ "$word" == -* ]]; then
            choices=$(grep -E '^ +-' <<< "$help" | grep -oE -- '--[a-z][a-z-]*')
        elif [[ -n "$help" ]]; then  # --format {table,csv,jsonl}
            choices=$(grep -oE -- "$option \\{[^}]*" <<< "$help" | head -n 1 | cut -d '{' -f 2 | tr ',' ' ')
        fi
        if [[ "$word" == -* || -n "$choices" ]]; then
            COMPREPLY=($(compgen -W "$choices" -- "$word"))
        else
            COMPREPLY=($(compgen -f -- "$word"))
        fi
    fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o default -F _hybridnets hybridnets
"""


def main(argv: list[str]) -> int:
    """Prints the script that a shell evaluates; returns the exit code.

    Args:
        argv: The command's name, and its arguments.
    """
    parser = Parser(
        prog="hybridnets completion",
        description="Print the completion of commands, options and overrides for a shell.",
        epilog='examples:\n  eval "$(hybridnets completion bash)"      in ~/.bashrc',
    )
    parser.add_argument("shell", choices=SHELLS)
    arguments = parser.parse_args(argv[1:])
    if arguments.shell == "zsh":
        print("autoload -U +X bashcompinit && bashcompinit")
    print(SCRIPT % " ".join(COMMANDS), end="")
    return 0
