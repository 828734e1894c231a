"""Records with something in every field that must be there, for tests that care about a few of them."""

import dataclasses
import types
import typing

from distill.files import records

NOTHING = {float: 0.5, int: 1, bool: False, str: "x", dict: {}, list: []}


def filled(kind, **given) -> dict:
    """What a file of ``kind`` holds: ``given``, and a plain value for every other field that has no default."""
    hints = typing.get_type_hints(kind)
    return {f.name: _value(hints[f.name]) for f in dataclasses.fields(kind) if _required(f)} | given


def write(kind, path, **given):
    """Write ``filled(kind, ...)`` to ``path``; returns the record."""
    return records.save(kind, path, filled(kind, **given))


def _required(field) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _value(hint):
    if dataclasses.is_dataclass(hint):
        return filled(hint)
    inside = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        return None if type(None) in inside else _value(inside[0])
    return NOTHING[typing.get_origin(hint) or hint]
