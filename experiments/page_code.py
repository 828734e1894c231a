"""The tables of docs/ that are drawn from the code: systems, arrays and the fields of JSON files."""

import dataclasses
import inspect
import re

from distill.files import fields, kinds
from distill.files.properties import categories
from distill.files.records import describe
from distill.physics.law import case_words, law_of_system
from distill.physics.systems import SYSTEMS
from distill.report.markdown import markdown


def pair_force_of(system) -> str:
    """The radial force of a system; of one with species what it is for every pair of them."""
    law = law_of_system(system, 2) if categories(system.properties) else None
    return ", ".join(case_words(law.cases_json())) if law else system.law


def systems() -> str:
    def code(text):
        return f"`{text}`" if text else "–"

    lines = [[code(k), code(pair_force_of(s)), code(s.beside), f"{s.dt:g}", s.summary] for k, s in SYSTEMS.items()]
    return markdown(["system", "pair force f(r), along the line of centres", "beside it", "time step", "what"], lines)


def arrays() -> str:
    """Every array of datasets and messages, with the comment beside it."""
    numbers, parts = {"f": "float", "g": "float, NaN where not there", "i": "integer"}, []
    meanings = dict(re.findall(r'^    "(\w+)": \(.*\),  # (.*)$', inspect.getsource(fields), re.MULTILINE))
    instead = {k: v for k, v in fields.TARGET_FIELDS.items() if k not in fields.MESSAGE_FIELDS}
    tables = {"A dataset": fields.DATASET_FIELDS, "Messages": fields.MESSAGE_FIELDS}
    tables["Messages of a network that learnt a `target`, in place of the accelerations"] = instead
    for title, found in tables.items():
        lines = []
        for name, (axes, kind, needed) in found.items():
            shape = shape_of(axes)
            meaning = meanings.get(name, "").replace("|", r"\|")
            lines.append([f"`{name}`", shape, numbers[kind], "yes" if needed else "no", meaning])
        parts += [f"**{title}**", markdown(["array", "axes", "kind", "required", "meaning"], lines)]
    return "\n\n".join(parts)


def shape_of(axes: tuple) -> str:
    if not axes:
        return "a number"
    shape = f"[{', '.join(axes)}]".replace("(", "").replace(")", "")
    return f"[{', '.join(axes[1:])}] or {shape}" if axes[0].startswith("(") else shape


def json_files() -> str:
    """Every field of the JSON files that stages hand on; what all of them begin with first."""
    seen: dict = {}
    parts = [f"**Every file that ends a stage begins with**\n\n{describe(kinds.Made, seen)}"]
    for kind in kinds.HANDED_ON:
        path, _, about = kind.__doc__.strip().partition(" ")
        lines = [line for line in describe(kind, seen).splitlines() if line.split("`")[1:2] not in BEGINNING]
        parts.append(f"**`{path.rstrip(':.,')}`** {about}".strip() + "\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts).strip()


BEGINNING = [[field.name] for field in dataclasses.fields(kinds.Made)]
