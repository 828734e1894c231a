"""PySR as an engine of ours."""

from distill.formulas.functions import FUNCTIONS
from distill.search.engine import Engine
from distill.search.pysr.adapter import REMEDY, find
from distill.search.pysr.julia import julia_problem, julia_versions
from distill.search.pysr.template import find_shared

ENGINE = Engine(
    name="pysr",
    title="PySR",
    remedy=REMEDY,
    operators=tuple(f.name for f in FUNCTIONS.values() if f.pysr),
    problem=julia_problem,
    find=find,
    find_shared=find_shared,
    versions=julia_versions,
    own_threads=True,
)
