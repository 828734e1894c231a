"""What is stored of the benchmarks is what the code makes of its rows: tables, rates, totals and bars."""

import argparse
import json
import subprocess
from pathlib import Path

import pipeline
import pytest
import recovery_summary
import speed_extraction
import speed_gpu
import speed_pipeline
import speed_search
import speed_simulation
import speed_time_to_r2
import speed_training
from scripts import ROOT

ONE_THREAD = argparse.Namespace(threads=1)


def stored(name: str) -> dict:
    return json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))


def read(table: str) -> list[list[str]]:
    """Entries of a Markdown table, and the lines below it."""
    return [[cell.strip() for cell in line.split("|")] for line in table.splitlines() if "---" not in line]


@pytest.mark.parametrize(
    ("kind", "section"),
    [
        (kind, section)
        for kind in ("pipeline", "planted", "near_misses")
        for section in stored(f"recovery_{kind}")["sections"]
    ],
)
def test_rates_of_recovery(kind, section):
    known = stored(f"recovery_{kind}")["sections"][section]
    rows = json.loads(json.dumps(known["rows"]))
    if kind == "near_misses":
        if not all("group" in r for r in rows):
            pytest.skip("its rows were measured before small faults and right laws were among them")
        rows = [{"rows": rows}]
    made = recovery_summary.summarise(kind.replace("_", "-"), rows)
    assert json.loads(json.dumps(made["rates"])) == known["rates"]
    assert read(made["table"]) == read(known["table"])


def test_medians_of_the_pipeline():
    known = stored("pipeline_paper")
    for name, medians in known["medians"].items():
        rows = [r for r in known["rows"] if f"{r['system']} {r['variant']}" == name]
        assert pipeline.summarise(rows) == medians
    assert len(pipeline.table(known["medians"]).splitlines()) == 2 + len(known["medians"])


def of_training(found, threads=1):
    bars = speed_training.training_bars(found["rows"], found["same_r2"], threads)
    return speed_training.table(found["rows"], threads), bars


def rounded(value):
    """Without the last digits of numbers: from Python 3.12 on ``sum`` adds more exactly."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def of_search(found):
    totals = {e: speed_search.total([r for r in found["rows"] if r["engine"] == e]) for e in found["totals"]}
    assert rounded(totals) == rounded(found["totals"])
    return speed_search.table(found["rows"], totals), [speed_search.judge(totals)]


def of_extraction(found):
    rows = {row["recipe"]: row for row in found["rows"]}
    made = speed_extraction.summary(rows, found["parts"], found["baseline"], ONE_THREAD)
    return made["table"], made["bars"]


def of_pipeline(found):
    starts, demo, large = ({r["script"]: r[k] for r in found["rows"] if r[k]} for k in ("help_s", "demo", "large"))
    made = speed_pipeline.summary(starts, demo, large, found["large_graphs"])
    assert rounded((made["demo"], made["large"])) == rounded((found["demo"], found["large"]))
    return made["table"], made["bars"]


SECTIONS = {
    "simulation": lambda found: (speed_simulation.table(found["rows"]), speed_simulation.bars(found["rows"])),
    "training": of_training,
    "training, 2 threads": lambda found: of_training(found, 2),
    "sizes": lambda found: (speed_training.table(found["rows"], 1), speed_training.size_bars(found["rows"])),
    "time-to-r2": lambda found: (speed_time_to_r2.table(found["rows"]), found["bars"]),
    "extraction": of_extraction,
    "search": of_search,
    "pipeline": of_pipeline,
    "gpu": lambda found: (speed_gpu.table(found["rows"]), found["bars"]),
}


def test_every_section_of_speed_is_known():
    assert set(stored("speed")["sections"]) == set(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_tables_and_bars_of_speed(section):
    known = stored("speed")["sections"][section]
    table, bars = SECTIONS[section](json.loads(json.dumps(known)))
    assert read(table) == read(known["table"])
    assert json.loads(json.dumps(bars)) == known["bars"]


def test_shares_of_following_a_training():
    rows = stored("following")["sections"]["r2 newton"]["rows"]
    assert set(rows) == {"l1", "standard"}
    for row in rows.values():
        assert row["share"] == row["following_cpu_seconds"] / row["training_cpu_seconds"] < 0.05  # cheap, as is said
        assert row["read_out_error"]["last"] < 0.1 * row["read_out_error"]["first"]  # and it follows something


# measured by commits that were rebased away: to be measured again, and then to go from here
GONE: dict[str, tuple[str, ...]] = {}


def commits_in(part) -> set[str]:
    """Every commit that a part of a file names."""
    if isinstance(part, list):
        return set().union(*map(commits_in, part))
    if not isinstance(part, dict):
        return set()
    named = part.get("commit")
    own = {one for one in (named if isinstance(named, list) else [named]) if isinstance(one, str)}
    return own.union(*map(commits_in, part.values()))


def history() -> list[str]:
    """Every commit that HEAD is made of."""

    def told(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout

    try:
        if Path(told("rev-parse", "--show-toplevel").strip()).resolve() != Path(ROOT).resolve():
            pytest.skip("these files are no clone of the repository")
        if told("rev-parse", "--is-shallow-repository").strip() != "false":
            pytest.skip("a shallow clone has not the commits that have measured")
        return told("rev-list", "HEAD").split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no git, or no clone of the repository")


def test_every_commit_that_measured_is_one_of_this_history():
    known, lost = history(), {}
    for path in sorted((ROOT / "results").rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        named = sorted(commits_in(content))
        if gone := [one for one in named if len(one) < 7 or not any(full.startswith(one) for full in known)]:
            lost[path.relative_to(ROOT).as_posix()] = tuple(gone)
    assert lost == GONE  # what is no longer lost goes from the list
