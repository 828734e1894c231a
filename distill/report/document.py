"""One self-contained HTML page of a run: the answer first, then what it rests on, stage by stage.

``write_report(run)`` reads whatever files of the run there are; a stage that has not been run is named with its
command. Nothing in the page points outside of it. ``SECTIONS`` is the order of the page.
"""

from pathlib import Path

from distill.files.storage import save_text
from distill.report import comparison, law, provenance, stages
from distill.report.material import gather, is_stale
from distill.report.opening import screen
from distill.report.page import guarded, page, section
from distill.shell import paths

SECTIONS = (  # each takes the ``Material`` of a run and returns HTML
    ("The law", law.law),
    ("The data", stages.simulation),
    ("The network", stages.training),
    ("Messages and forces", stages.messages),
    ("The search for the formula", stages.search),
    ("Beyond the training data", comparison.generalization),
    ("Rollouts", comparison.rollouts),
    ("How this was made", provenance.provenance),
)
# without a network there is nothing to say there
OF_NETWORKS = (stages.training, stages.messages, comparison.generalization, comparison.rollouts)
FOOTER = (
    "<footer>Method after M. Cranmer et al., Discovering Symbolic Models from Deep Learning with Inductive"
    " Biases, 2020 (arXiv:2006.11287). This page stands alone and loads nothing from elsewhere.</footer>"
)


def report_of(run: str) -> Path:
    """The page of ``run``, written where it is missing or older than what it tells of."""
    return write_report(run) if is_stale(run) else paths.OUTPUTS / run / "report.html"


def write_report(run: str) -> Path:
    """Write outputs/<run>/report.html and return its path. Missing stages do not fail it."""
    m = gather(run)
    body = f"<header>{screen.header(m)}{guarded(screen.opening, m)}</header>"
    left_out = OF_NETWORKS if m.alone else ()
    if m.elsewhere:
        left_out = {stages.simulation, *OF_NETWORKS} - ({stages.messages} if m.linear_fit else set())
    sections = [entry for entry in SECTIONS if entry[1] not in left_out]
    for number, (title, function) in enumerate(sections, 1):
        body += section(number, title, guarded(function, m))
    path = m.folder / "report.html"
    save_text(path, page(f"Force law of {run}", body + FOOTER))
    return path
