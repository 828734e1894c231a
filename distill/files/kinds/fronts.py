"""outputs/<run>/symbolic/<target>/front.json: a front of formulas."""

from distill.files.kinds.origin import none
from distill.files.records import Record


class FrontRecord(Record):
    """outputs/<run>/symbolic/<target>/front.json, beside hall_of_fame.csv."""

    target: str  # what was searched
    identity: dict  # options, rows and digests: the front is read back where these are the same
    features: list[str]  # variables of the formulas
    engine: str  # that searched
    chosen: int  # row of hall_of_fame.csv
    why: str  # the choice in a sentence
    info: dict  # what engine and choice report: restarts, runner-up, noise floor, seconds
    held_out: list[float | None]  # loss of each row on data left out
    formulas: list[str] = none(list)  # of the rows, constants with all digits; none: made by a former version
    losses: list[float | None] = none(list)  # of the rows, with all digits; null: not finite
    parameters: list[dict[str, list[float]]] = none(list)  # of the rows of a template: name -> vector
    front_sha256: str | None = None  # of hall_of_fame.csv: another one is not ours; null: made by a former version

    STAGE, FORMAT = "symbolic_reg", 1
    COMMAND = "python symbolic_reg.py --run {run}"

    @classmethod
    def fix(cls, path) -> str:
        return "add --overwrite to search again"
