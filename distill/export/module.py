"""How a Python module is written from a template: other constants and functions above its line, the same below it.

Text out of files goes into the docstring only, where it can close nothing.
"""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from distill.shell.errors import UserError

LINE = "# ---------------------------------------------------------------- the same for every law\n"


def written(name: str, about: str, values: Mapping, functions: Mapping | None = None) -> str:
    """The text of a module after the template ``name``.

    ``about``: what its docstring says, any text. ``values``: name -> value of constants, with the comments that the
    template has for them. ``functions``: name -> (arguments, lines of the body), with the template's docstrings.
    """
    template = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    above, line, same = template.partition(LINE)
    imports = re.search(r"^import .*?\n\n(?=[A-Z])", above, re.MULTILINE | re.DOTALL)[0]
    comments = dict(re.findall(r"^([A-Z]+) = .*?(  # .*)$", above, re.MULTILINE))
    told = {node.name: ast.get_docstring(node) for node in ast.parse(above).body if isinstance(node, ast.FunctionDef)}
    head = [f"{key} = {_shown(value)}{comments.get(key, '')}" for key, value in values.items()]
    parts = [f"{docstring(about)}\n{imports}" + "".join(f"{one}\n" for one in head)]
    for key, (arguments, body) in (functions or {}).items():
        inside = [f'"""{told[key]}"""', *body] if told.get(key) else body
        parts.append(f"def {key}({', '.join(arguments)}):\n" + "".join(f"    {one}\n" for one in inside))
    text = "\n\n".join(parts) + ("\n\n" if functions else "\n") + line + same
    if ast.get_docstring(ast.parse(text), clean=False) != printable(about):
        raise UserError("the text of this law cannot stand in a docstring")
    return text


class Raw(str):
    """Code that stands in a module as it is."""


def _shown(value) -> str:
    if isinstance(value, Raw):
        return value
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_shown(k)}: {_shown(v)}' for k, v in value.items())}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))})"
    return f'"{value}"' if isinstance(value, str) and re.fullmatch(r"[^\"\\\n]*", value) else repr(value)


def printable(text: str) -> str:
    """``text`` with a question mark for what is no printable character, and one line break at its end."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text.strip()) + "\n"


def docstring(text: str) -> str:
    """A string literal in three quotes, on lines of its own, that any text can stand in."""
    return '"""' + printable(text).replace("\\", "\\\\").replace('"""', '\\"\\"\\"') + '"""\n'
