"""Where a file came from: what every file that ends a stage begins with."""

from dataclasses import field

from distill.files.records import Part, Record


def none(kind):
    """A field that is an empty ``kind`` where the file has nothing."""
    return field(default_factory=kind)


class Input(Part):
    path: str = ""  # where it was
    sha256: str = ""  # its digest
    digested: bool | None = None  # whether it or its JSON held one; null: not asked by a former version


class Git(Part):
    commit: str | None = None  # null outside of a git repository
    dirty: bool | None = None  # whether files were changed since, results and pages apart


class Made(Record):
    """A file that ends a stage: provenance comes first."""

    arguments: dict = none(dict)  # every flag of the stage, defaults spelled out
    inputs: dict[str, Input] = none(dict)  # what was read, by name
    git: Git = none(Git)  # the commit of the code
    python: str = ""  # version
    versions: dict[str, str] = none(dict)  # of the packages that were loaded
    device: str = ""  # cpu or cuda
    machine: str = ""  # architecture
    seconds: float = 0.0  # wall-clock time of the stage
    quick: bool = False  # made with --quick: tiny sizes, numbers mean nothing

    def digest_of(self, name: str) -> str | None:
        """SHA-256 of the input ``name``; None where the file does not say that it was read."""
        return self.inputs[name].sha256 if name in self.inputs else None


def kinds_of(stage: str | None) -> list[type[Made]]:
    """What the files are that ``stage`` writes; none for what is no hand-off."""
    return [kind for kind in Made.__subclasses__() if stage in (kind.STAGE, *kind.ALSO)]


def format_of(stage: str | None) -> int:
    """The format of the file that ends ``stage``; 1 for what is no hand-off."""
    return max((kind.FORMAT for kind in kinds_of(stage)), default=1)
