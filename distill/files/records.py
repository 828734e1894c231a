"""JSON files as dataclasses: one class a kind of file (``distill.files.kinds``), checked when read and when written.

A field without a default must be there; one with a default may be missing or null, so that a file made elsewhere
need not say everything. Types are checked down to the last entry, and no number may be NaN or infinite. A key that
the class does not have is ignored when a file is read (anybody may add notes to theirs) and refused when one is
written (so that ``describe``, from which docs/formats.md is made, names every key there is).
"""

import dataclasses
import functools
import hashlib
import inspect
import json
import math
import re
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from distill.files.storage import json_text, load_json, plain, save_text
from distill.shell.errors import UserError
from distill.shell.paths import relative

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):  # Python 3.10 has none: it only tells a type checker what ``Part`` does
        return lambda kind: kind


@dataclass_transform(kw_only_default=True)
class Part:
    """An object in a JSON file: a subclass is a dataclass, its fields given by name. ``RANGES``: the least and the
    largest number that a field may have.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field]]
    RANGES: ClassVar[dict[str, tuple[float, float]]] = {}

    def __init_subclass__(cls):
        dataclasses.dataclass(kw_only=True)(cls)


class Record(Part):
    """What every file kind says first: the stage that wrote it and the format it is in.

    A class gives ``STAGE``; ``FORMAT``, a number that goes up when what was written before cannot be read any more;
    ``COMMAND``, which makes the file, with {run} and {split}; ``ELSEWHERE``: whether it may be made by other means;
    ``ALSO``: other stages that write such files.
    """

    stage: str = ""  # the stage that wrote the file
    format: int = 0  # of the file; another number is refused with the command that makes the file again
    content_sha256: str | None = None  # digest of the rest, as one line of JSON with its keys in order; null: none

    STAGE: ClassVar[str]
    FORMAT: ClassVar[int]
    COMMAND: ClassVar[str]
    ELSEWHERE: ClassVar[bool] = False
    ALSO: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def fix(cls, path: Path) -> str:
        """What to do with the file at ``path``, which is missing or of no use."""
        run = path.parent.name
        command = cls.COMMAND.format(run=run, split=path.stem.rpartition("_")[2], dataset=run.partition("__")[0])
        return f"make it again:  {command} --overwrite" if path.is_file() else f"run this first:  {command}"


K = TypeVar("K", bound=Record)


class Wrong(ValueError):
    """What does not fit a class, in words that follow the name of a file."""


def load(kind: type[K], path: Path, fix: str | None = None) -> K:
    """The file at ``path`` as a ``kind``; ``UserError`` in one line if it is missing, damaged, of another version or
    of another kind, with what to do (``fix``, or what ``kind`` says).
    """
    path = Path(path)
    fix = fix or kind.fix(path)
    content = load_json(path, fix)
    stage, version = content.get("stage"), content.get("format")
    if stage is None and kind.ELSEWHERE:
        fix = "correct it, or take it away: nothing in it is required"
    elif stage not in (kind.STAGE, *kind.ALSO):
        raise UserError(f"{relative(path)} was written by {stage or 'no stage of this project'}, not {kind.STAGE}", fix)
    elif version != kind.FORMAT:
        raise UserError(f"{relative(path)} is of another version (format {version}, expected {kind.FORMAT})", fix)
    try:
        record = build(kind, content)
    except Wrong as exc:
        raise UserError(f"{relative(path)}: {exc}", fix) from None
    if not is_whole(content, record):
        raise edited(path, fix)
    return record


def edited(path: Path, fix: str | None) -> UserError:
    """What is said of a file at ``path`` whose content is not that of its digest."""
    return UserError(f"{relative(path)} is damaged or was edited: its content is not that of its 'content_sha256'", fix)


def is_whole(content: dict, record: Record | None = None) -> bool:
    """Whether the ``content`` of a file is that of its digest, where it has one: all of it, or what of it is in the
    ``record``, which has no notes that somebody added, but fields that the file was written without.
    """
    told = content.get("content_sha256")
    if told in (None, digest_of(content)):
        return True
    return record is not None and told == digest_of(_in_both(plain(record), content))


def _in_both(known, content):
    """``known`` with those keys of its objects that are in the ``content`` too."""
    if isinstance(known, dict) and isinstance(content, dict):
        return {k: _in_both(v, content[k]) for k, v in known.items() if k in content}
    if isinstance(known, list) and isinstance(content, list) and len(known) == len(content):
        return [_in_both(a, b) for a, b in zip(known, content, strict=True)]
    return known


def refuse_foreign(kind: type[K], path: Path) -> None:
    """``UserError`` for a file at ``path``, about to be replaced, that is no ``kind``, or was edited."""
    if Path(path).is_file():
        load(kind, path, "move it elsewhere, or add --overwrite to replace it")


def digest_of(content: dict) -> str:
    """SHA-256 of what a file says beside this digest."""
    rest = {k: v for k, v in content.items() if k != "content_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def stage_of(path: Path) -> str | None:
    """The stage that a JSON says it is of; None where it says nothing, or cannot be read."""
    try:
        return load_json(path).get("stage")
    except (UserError, OSError):
        return None


def save(kind: type[K], path: Path, content: dict) -> K:
    """Write ``content`` to ``path`` as a ``kind`` and return it; ``Wrong`` if it does not fit or has another key."""
    record = checked(kind, content)
    save_text(path, json_text(record))
    return record


def text(kind: type[K], content: dict) -> str:
    """What ``save`` would write, for files that are replaced together."""
    return json_text(checked(kind, content))


def checked(kind: type[K], content: dict) -> K:
    """The ``kind`` that ``save`` would write, with its digest; ``Wrong`` as there."""
    stage = content.get("stage") if content.get("stage") in kind.ALSO else kind.STAGE
    record = build(kind, plain(content) | {"stage": stage, "format": kind.FORMAT}, strict=True)
    record.content_sha256 = digest_of(plain(record))
    return record


def build(kind, content: dict, at: str = "", strict: bool = False):
    """A dataclass ``kind`` of the values in ``content``; ``at`` goes before the names in messages of ``Wrong``."""
    values, hints = {}, _hints(kind)
    if strict and (unknown := content.keys() - hints.keys()):
        raise Wrong(f"'{at}{min(unknown)}' is no field of {kind.__name__}")
    for name, (hint, optional) in hints.items():
        if optional and content.get(name) is None:
            continue
        if name not in content:
            raise Wrong(f"'{at}{name}' is missing")
        values[name] = _value(hint, content[name], f"{at}{name}", strict)
    for name, (least, most) in kind.RANGES.items():
        if (number := values.get(name)) is not None and not least <= number <= most:
            raise Wrong(f"'{at}{name}' is {number}, expected {least:g} to {most:g}")
    return kind(**values)


@functools.cache
def _hints(kind) -> dict[str, tuple]:
    """Field -> (type, whether it has a default)."""
    types_of, none = typing.get_type_hints(kind), dataclasses.MISSING
    optional = {f.name: (f.default, f.default_factory) != (none, none) for f in dataclasses.fields(kind)}
    return {name: (types_of[name], has) for name, has in optional.items()}


WORDS = {float: "number", int: "whole number", bool: "true or false", str: "text", list: "list", dict: "object"}
WORDS |= {type(None): "null", Any: "anything"}


def _value(hint, value, name: str, strict: bool):
    """``value`` as ``hint`` asks, dataclasses made of objects; ``Wrong`` if it is something else."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kind = next((k for k in kinds if _fits(k, value) and _whole(k, value)), None)
    kind = kind or next((k for k in kinds if _fits(k, value)), None)
    if kind is None:
        told = json.dumps(value, default=str)
        raise Wrong(f"'{name}' is {told if len(told) < 40 else told[:36] + ' ...'}, expected {_words(hint)}")
    inside = typing.get_args(kind)
    if inside and isinstance(value, list):
        return [_value(inside[0], v, f"{name}[{k}]", strict) for k, v in enumerate(value)]
    if inside:
        return {k: _value(inside[1], v, f"{name}.{k}", strict) for k, v in value.items()}
    return build(kind, value, f"{name}.", strict) if dataclasses.is_dataclass(kind) else value


def _fits(hint, value) -> bool:
    """Whether ``value`` is of this kind at all, without looking inside."""
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, dict if dataclasses.is_dataclass(hint) else typing.get_origin(hint) or hint)


def _whole(kind: type, value) -> bool:
    """Whether ``value`` has what a dataclass requires: tells those of a union apart."""
    return not dataclasses.is_dataclass(kind) or {k for k, (_, has) in _hints(kind).items() if not has} <= value.keys()


def _words(hint) -> str:
    """A type for a reader: ``list of numbers or null``."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_words, inside)))
    if origin in (list, dict):
        return f"{WORDS[origin]} of {_words(inside[-1])}"
    return WORDS.get(hint, "object")


# ---------------------------------------------------------------- the fields, for docs/formats.md


def describe(kind: type, seen: dict | None = None) -> str:
    """A Markdown table of the fields of ``kind``: name, type and the comment that stands beside it in the source.

    Objects are followed by their own fields, ``verdict.scale``; those of a class shown before are not repeated, nor
    of one in ``seen`` (class -> place), which tables of one page share.
    """
    rows = ["| field | type | meaning |", "|---|---|---|"]
    rows += [
        f"| `{name}` | {what} | {meaning} |" for name, what, meaning in _rows(kind, "", {} if seen is None else seen)
    ]
    return "\n".join(rows) + "\n"


def _rows(kind, at: str, seen: dict):
    about = comments(kind)
    for name, (hint, optional) in _hints(kind).items():
        inner, where = _dataclass_in(hint, at + name)
        as_before = f" (fields as of `{seen[inner]}` above)" if inner in seen else ""
        meaning = about[name].replace("|", r"\|") + as_before  # a bar would end the cell of the table
        yield at + name, _words(hint) + (", optional" if optional else ""), meaning
        if inner and inner not in seen:
            seen[inner] = where
            yield from _rows(inner, where + ".", seen)


def _dataclass_in(hint, name: str) -> tuple:
    """(the dataclass inside a type or None, how its place in the file is written)."""
    if dataclasses.is_dataclass(hint):
        return hint, name
    origin = typing.get_origin(hint)
    for inside in typing.get_args(hint)[-1:] if origin in (list, dict) else typing.get_args(hint):
        found, where = _dataclass_in(inside, name + {list: "[]", dict: ".*"}.get(origin, ""))
        if found:
            return found, where
    return None, name


def comments(kind) -> dict[str, str]:
    """Field -> its comment: on its line, or on lines of their own above it."""
    found, above = {}, []
    for base in reversed(kind.__mro__[:-1]):
        for line in inspect.getsource(base).splitlines():
            if comment := re.fullmatch(r" +# (.*)", line):
                above.append(comment[1])
            elif field := re.match(r"    (\w+): (?!ClassVar)[^#]*(?:# (.*))?$", line):
                found[field[1]] = " ".join([*above, field[2] or ""]).strip()
                above = []
    return found
