"""What the report of a run is made of: the records of its stages, None where a stage has not been run."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from distill.files import names, records
from distill.files.kinds import (
    DatasetRecord,
    Generalization,
    LawRecord,
    LinearFit,
    MessagesRecord,
    RunConfig,
    SystemRecord,
)
from distill.shell import paths
from distill.shell.errors import UserError


@dataclass
class Material:
    """The records of a run, and where its figures lie."""

    run: str
    dataset: DatasetRecord | None = None
    config: RunConfig | None = None
    messages_train: MessagesRecord | None = None
    messages_test: MessagesRecord | None = None
    linear_fit: LinearFit | None = None
    law: LawRecord | None = None
    generalization: Generalization | None = None
    dataset_path: Path | None = None
    problems: list[str] = field(default_factory=list)  # files that could not be read

    @property
    def folder(self) -> Path:
        return paths.OUTPUTS / self.run

    @property
    def alone(self) -> bool:
        """Whether the law is of a dataset, or of messages made elsewhere, without a network here."""
        return self.law is not None and (self.law.arguments.get("dataset") is not None or self.elsewhere)

    @property
    def elsewhere(self) -> bool:
        """Whether the law is of messages that no run here sent."""
        return self.law is not None and self.law.arguments.get("messages") is not None

    @property
    def system(self) -> SystemRecord:
        """That of the dataset, or of the run where the dataset has gone; without a name where it is not known."""
        known = [one.system for one in (self.dataset, self.config) if one and one.system.name]
        return known[0] if known else SystemRecord()

    @property
    def units(self) -> dict[str, str]:
        """Quantity -> unit, {} where the data's are not known or dimensionless."""
        return self.system.units

    @property
    def cut_off(self) -> bool:
        """Whether the pair force ends at a cutoff, as in a periodic box."""
        return self.system.periodic or bool(self.law and self.law.cutoff)

    def made(self) -> dict:
        """Name -> record of every stage that was run, in the order of the pipeline."""
        stages = ("dataset", "config", "messages_train", "messages_test", "linear_fit", "law", "generalization")
        return {name: record for name in stages if (record := getattr(self, name)) is not None}


def sources(run: str) -> dict[str, tuple]:
    """Name -> (kind, path) of the JSON files of a run, whether they exist or not."""
    out = paths.OUTPUTS / run
    kinds = {"messages_train": MessagesRecord, "messages_test": MessagesRecord, "linear_fit": LinearFit}
    kinds |= {"law": LawRecord, "generalization": Generalization}
    found = {name: (kind, out / f"{name}.json") for name, kind in kinds.items()}
    return {"config": (RunConfig, paths.MODEL_WEIGHTS / run / "config.json")} | found


def history_path(run: str) -> Path:
    return paths.MODEL_WEIGHTS / run / "history.csv"


def is_stale(run: str) -> bool:
    """Whether report.html is missing or older than one of its sources."""
    path = paths.OUTPUTS / run / "report.html"
    if not path.is_file():
        return True
    made, read = path.stat().st_mtime, [history_path(run), *(p for _, p in sources(run).values())]
    return any(p.is_file() and p.stat().st_mtime > made for p in read)


def gather(run: str) -> Material:
    """Read the files of ``run``; one that is damaged or of another version becomes a line under ``problems``."""
    m = Material(run)

    def read(name, kind, path):
        if path.is_file():
            try:
                setattr(m, name, records.load(kind, path))
            except UserError as exc:
                m.problems.append(str(exc))

    for name, (kind, path) in sources(run).items():
        read(name, kind, path)
    where = m.config.dataset_path if m.config else run.split("__")[0]
    if m.elsewhere:
        return m  # a dataset of that name is another's
    m.dataset_path = next((p for p in (names.dataset_path(where), paths.ROOT / where) if p.is_file()), None)
    if m.dataset_path:
        read("dataset", DatasetRecord, m.dataset_path.with_suffix(".json"))
    return m


def history(run: str) -> dict[str, list[float]]:
    """Columns of history.csv; {} where it is missing or damaged."""
    try:
        with open(history_path(run), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {k: [float(r[k]) for r in rows] for k in ("epoch", "train_loss", "validation_loss", "validation_mae")}
    except (OSError, KeyError, ValueError, TypeError):
        return {}
