"""Masses, charges or other values of bodies that nobody measured: the stage ``learn_properties``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from distill.files import records
from distill.files.dataset import Dataset, bodies, load_dataset, save_dataset
from distill.files.kinds import DatasetRecord, LawRecord, LearntRecord
from distill.files.names import checked, run_name_of
from distill.files.properties import usable
from distill.files.provenance import already_done, provenance
from distill.files.storage import finite_or_none, is_there, save_bytes
from distill.identities.learn import FAR, Learnt, learn
from distill.identities.tell import acting_beside, says, told_beside, value_lines
from distill.identities.with_law import properties_in, with_law
from distill.physics.law import Law, law_of
from distill.results.datasets import LearntResult
from distill.shell import paths
from distill.shell.errors import UserError, about, near_miss
from distill.shell.paths import relative
from distill.shell.processes import alone_making
from distill.shell.stage import Done, Stage, name_of

STAGE = "learn_properties"
NAMES = "letters, digits and _, at most 31, and no name of an array or of a variable in formulas"


def learn_properties(
    dataset: str | Done,
    *,
    unknown: str = "mass",
    reference: Sequence[str] | Mapping[str, float] = (),
    name: str | None = None,
    law: str | Done | None = None,
    seed: int = 0,
    threads: int = 1,
    overwrite: bool = False,
    quick: bool = False,
) -> LearntResult:
    """Learn the values of ``unknown`` from how bodies move, and write datasets/<name>.npz and .json (``name``:
    <dataset>_learnt) that hold them, with outputs/<name>/properties.json and properties.png.

    ``reference``: {body: value}, or words "body=value", of bodies whose value is known. ``law``: a run whose law was
    found with such values, or its law.json: the values are fitted once more, with its formulas in place of splines
    (``name``: <dataset>_refitted). ``UserError`` where nothing says which particles of different trajectories are the
    same bodies, for a law that does not take the values, and for a dataset of that name that this did not make.
    """
    dataset, law = name_of(dataset), name_of(law)
    arguments = {k: v for k, v in locals().items() if k != "reference"}
    source = load_dataset(dataset)
    if unknown not in ("mass", "charge") and not usable(unknown):
        raise UserError(f"--unknown {unknown}: no property can be called that", NAMES)
    name = checked(name or f"{source.name}_{'refitted' if law else 'learnt'}", "give another --name")
    path, stage = paths.DATASETS / f"{name}.npz", Stage(STAGE, name, LearntResult)
    side, inputs = path.with_suffix(".json"), {"dataset": source.path}
    if law:
        inputs["law"] = law_file(law)
        formulas = law_given(inputs["law"], source, unknown)
    number, names = bodies(source)
    known = known_values(reference, names, unknown)
    arguments |= {"dataset": source.name, "name": name, "reference": [f"{names[k]}={v!r}" for k, v in known.items()]}
    with alone_making(path):
        if is_there(path):
            maker = records.load(DatasetRecord, side).stage if side.is_file() else "somebody else"
            if maker != STAGE:
                raise UserError(f"{relative(path)} is there and was made by {maker}", "give another --name")
            if already_done(side, arguments, inputs, overwrite):
                return stage.already_done(path)
        out = paths.OUTPUTS / name
        if not overwrite:
            records.refuse_foreign(LearntRecord, out / "properties.json")
        with about(relative(source.path), "see docs/bodies.md"):
            found = learn(source, unknown, known, seed, quick)
        if law:
            with about(relative(inputs["law"]), "see docs/bodies.md"):
                data = replace(source, arrays=arrays_with(source, number, unknown, found))
                found = with_law(found, formulas, source, data, unknown, known, seed, quick)
        if taken := [k for k in found.told if k != unknown and k in source.measured_properties]:
            found_it = f"what was found is told as '{taken[0]}', which {relative(source.path)} has measured already"
            raise UserError(found_it, f"learn it together with the other:  --unknown {taken[0]}")
        truth = {k: compared(source, number, found.told[k].values, k, known) for k in found.told}
        made = provenance(STAGE, arguments, inputs, stage.seconds)
        from distill.report import plots  # matplotlib takes a second

        content = made | record(found, names, truth, source, name, unknown)
        told = records.checked(LearntRecord, content)
        figure = plots.learnt(told.values, told.distance, told.curve, source.name)
        save_bytes(out / "properties.png", plots.save_bytes(figure))
        records.save(LearntRecord, out / "properties.json", content)
        meta = source.meta
        categories = {k: list(levels) for k, levels in source.categories.items()}
        about_it = made | {"n": source.n, "dim": source.dim, "bodies": names, "categories": categories}
        about_it |= {"beside": acting_beside(found)}
        about_it |= {"measured": [m for m in meta.measured if m not in (unknown, *found.told)]}
        about_it |= {"derived": meta.derived | {k: "learnt from the motion" for k in found.told}}
        about_it |= {"system": meta.system if known and set(found.told) == {unknown} else {"held": meta.system.held}}
        save_dataset(path, arrays_with(source, number, unknown, found), about_it)
    load_dataset(str(path))  # says what a stage will say of it
    lines = [*says(found, unknown), *value_lines(found, names, truth)]
    shown = {"role": found.role, "bodies": len(names), "error": found.error}
    shown |= {"determined": int(next(iter(found.told.values())).determined.sum())}
    return stage.done(path, lines, **shown, receivers=found.receivers)


def law_file(law: str) -> Path:
    """law.json of a run, or of a path to one."""
    path = Path(law) if law.endswith(".json") else paths.OUTPUTS / run_name_of(law) / "law.json"
    if not path.is_file():
        raise UserError(f"{relative(path)} does not exist", "give a run that symbolic_reg.py has found a law of")
    return path


def law_given(path: Path, source: Dataset, unknown: str) -> Law:
    """The law of a law.json; ``UserError`` where it does not take the unknown, or takes what the dataset lacks."""
    law = law_of(records.load(LawRecord, path))
    taken = properties_in(law)
    if unknown not in taken:
        raise UserError(f"{relative(path)}: the law takes no {unknown}", "leave --law out, or give another")
    known = {*source.properties, "charge", unknown}
    if lacking := sorted(taken - known):
        found = f"{relative(path)}: the law takes {' and '.join(lacking)}, which {source.name} does not have"
        raise UserError(found, "give the law of this dataset")
    if not len(source.trajectories("validation")):
        raise UserError(f"{source.name} has no validation split, on which --law is judged", "leave --law out")
    return law


def known_values(reference, names: Sequence[str], unknown: str) -> dict[int, float]:
    """Number of a body -> its value; ``UserError`` for words that are not body=value, or name nobody."""
    pairs = reference.items() if isinstance(reference, Mapping) else [word.rpartition("=")[::2] for word in reference]
    out = {}
    for body, value in pairs:
        told = f"--reference {body}={value}"
        try:
            number, known = names.index(str(body)), float(value)
        except ValueError:
            what = f"{told}: expected body=number"
            raise UserError(what + near_miss(str(body), names), "bodies: " + ", ".join(map(repr, names[:12]))) from None
        if not np.isfinite(known) or known == 0:
            raise UserError(f"{told}: no value to measure others by", "give a finite one that is not zero")
        if unknown == "mass" and known < 0:
            raise UserError(f"{told}: expected a positive mass", "give the mass of the body, or --unknown charge")
        if out.get(number, known) != known:
            raise UserError(f"{told}: {body} has another value before, {out[number]:g}", "give one value a body")
        out[number] = known
    return out


def arrays_with(source: Dataset, number: np.ndarray, unknown: str, found: Learnt) -> dict:
    """The dataset's arrays with the learnt values. A mass that was not learnt is 1; in place of one that is not
    positive stands the least that is, by a thousand: what is too small to be seen pulls nobody.
    """
    arrays = dict(source.arrays) | {"id": number.astype(np.int32)}
    if unknown == "mass":
        arrays["mass"] = np.ones_like(arrays["mass"])
    for name, told in found.told.items():
        values = told.values
        if name == "mass":
            if not (positive := values[values > 0]).size:
                raise UserError("no mass came out positive", "give a --reference with a sign that is right")
            values = np.where(values > 0, values, 1e-3 * positive.min())
        arrays[name] = values[number]
    if found.window is not None:
        arrays["window"] = np.int64(found.window)
    return arrays


def compared(source: Dataset, number, values: np.ndarray, name: str, known: Mapping):
    """What the dataset had of the property ``name`` [body], in the scale of the learnt ``values``; None where it had
    nothing to compare with.
    """
    if name not in source.measured_properties:
        return None
    had, there = np.zeros(len(values)), source.there.any(1)
    had[number[there]] = source.arrays[name][there]
    if known:
        return had
    far = (np.abs(values) > FAR * np.abs(values).max()) & (had != 0)
    if not far.any():
        return None
    size = np.exp(np.mean(np.log(np.abs(values[far] / had[far]))))
    return had * size * (np.sign(np.sum(had * values)) or 1.0)


def record(found: Learnt, names, truth: Mapping, source: Dataset, name: str, unknown: str) -> dict:
    """The fields of ``LearntRecord`` beside provenance."""
    values = {}
    for key, told in found.told.items():
        had, sure = truth[key], told.determined
        values[key] = [
            {
                "body": body,
                "value": float(told.values[k]),
                "error": finite_or_none(told.errors[k]),
                "half_width": finite_or_none(told.half[k]),
                "determined": bool(sure[k]),
                "known": None if had is None else float(had[k]),
            }
            for k, body in enumerate(names)
        ]
    kinds = found.kinds
    return {
        "dataset": source.name,
        "learnt": name,
        "unknown": unknown,
        "role": found.role,
        "says": says(found, unknown),
        "gauge": found.gauge,
        "values": values,
        "hypotheses": found.roles,
        "error": found.error,
        "stretches": found.stretches,
        "receivers": found.receivers,
        "window": found.window,
        "alike": found.alike,
        "kinds": None if kinds is None else kinds.number.tolist(),
        "kinds_errors": {} if kinds is None else {str(k): v for k, v in kinds.errors.items()} | {"own": kinds.own},
        "distance": found.distance.tolist(),
        "curve": found.curve.tolist(),
        "law": None if found.law is None else asdict(found.law),
        "beside": told_beside(found, unknown),
        "tests": {name: list(pair) for name, pair in found.tests.items()},
        "groups": None if found.groups is None else found.groups.tolist(),
    }
