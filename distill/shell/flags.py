"""The command line of a stage: parser, types of flags, and the flags that all stages share."""

import argparse
import re
import sys

from distill.shell.errors import EXIT_USAGE, near_miss


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` with defaults shown, no abbreviations and one-line usage errors."""

    def __init__(self, description: str, **kwargs):
        kwargs.setdefault("formatter_class", _Formatter)
        super().__init__(description=description, allow_abbrev=False, **kwargs)

    def error(self, message: str):
        if found := re.search(r"invalid choice: '?([^'\s]*)'? \(choose from (.*)\)", message):
            choices = [c.strip(" '") for c in found.group(2).split(",")]
            message += near_miss(found.group(1), choices)
        elif found := re.search(r"unrecognized arguments: (--[\w-]+)", message):
            options = [o for a in self._actions for o in a.option_strings]
            message += near_miss(found.group(1), options)
        line = " ".join(f"error: {message}; see  python {self.prog} --help".split())
        print(line, file=sys.stderr)
        raise SystemExit(EXIT_USAGE)


class _Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action):
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


def positive_int(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def non_negative_int(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def positive_float(text: str) -> float:
    if not 0 < (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive finite number")
    return value


def fraction(text: str) -> float:
    if not 0 <= (value := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def add_run_flags(parser: Parser, seed_help: str = "random seed", seeds: bool = False) -> None:
    """The flags that mean the same thing in every stage; ``seeds`` lets --seed take several."""
    group = parser.add_argument_group("run")
    several = {"nargs": "+", "default": [0]} if seeds else {"default": 0}
    group.add_argument("--seed", type=non_negative_int, help=seed_help, **several)
    group.add_argument("--threads", type=positive_int, default=1, help="CPU threads to use")
    group.add_argument("--overwrite", action="store_true", help="replace existing output")
    group.add_argument("--quick", action="store_true", help="tiny sizes through the same code, marked in the output")
