"""What became of damaged files and of stages that were stopped, for docs/formats.md: results/faults.json."""

import page_stamps
from evidence_parts import made

from distill.report.markdown import markdown

HOWS = {"KILL": "`kill -9`", "TERM": "SIGTERM", "INT": "Ctrl-C", "HUP": "closed terminal", "full": "disk full"}
HOWS |= {"over": "`kill -9` while made again"}
COMMANDS = {"simulate": "simulate.py", "import": "import_tracks.py", "look": "look.py", "learn": "learn_properties.py"}
COMMANDS |= {"train": "train.py", "train unknown": "train.py --unknown", "extract": "extract_messages.py"}
COMMANDS |= {"fit": "fit_linear.py", "law": "symbolic_reg.py", "export": "symbolic_reg.py --export"}
COMMANDS |= {"compare": "test_generalization.py"}
OUTCOMES = ("refused", "same", "taken", "SILENT", "TRACEBACK", "HANG")


def faults(stored: dict) -> str:
    """The tables of stopped stages and of changed files, and what the checks cost."""
    sections, parts = stored["sections"], []
    hows = [how for how in HOWS if how in sections]
    if hows:
        lines = []
        for name, command in COMMANDS.items():
            counts = [sections[how]["stages"].get(name) for how in hows]
            if any(counts):
                lines.append([f"`{command}`", *(f"{c['good']} of {c['n']}" if c else "–" for c in counts)])
        parts += [markdown(["stage stopped by", *(HOWS[how] for how in hows)], lines), _stopped(sections, hows)]
    if found := sections.get("mutations"):
        lines = [[f"`{name}`" if "." in name else name, *map(str, counts)] for name, counts in found["files"].items()]
        whole = [str(sum(column)) for column in zip(*found["files"].values(), strict=True)]
        head = ["changed file", "refused in one line", "read as before", "taken", "read as something else", "traceback"]
        parts += [markdown([*head, "hang"], [*lines, ["**all**", *whole]]), _about(found)]
    if found := sections.get("cost"):
        head = ["stage", "CPU seconds", "in checks", "more by", "wall seconds", "in checks", "more by"]
        lines = [[f"`{row['stage']}`", *_timed(row["cpu"]), *_timed(row["wall"])] for row in found["rows"]]
        parts += [markdown(head, lines), f"{found['what']} {_about(found)}"]
    return "\n\n".join(parts)


def _stopped(sections: dict, hows: list[str]) -> str:
    """Seeds, machine, date and commits of the stages that were stopped, which are not all of one run."""
    about = [sections[how] for how in hows]
    gits = [one["git"] | {"commit": counts["commit"]} for one in about for counts in one["stages"].values()]
    told = page_stamps.made(
        [about[0] | {"git": git} for git in gits], "faults", (one["arguments"]["seed"] for one in about)
    )
    tried = {name for how in hows for name in sections[how]["stages"]}
    left = ", ".join(f"`{command}`" for name, command in COMMANDS.items() if name not in tried)
    left = f" Not in the table, for its run was not finished: {left}." if left else ""
    return f"`python tests/faults/kills.py`. {told}{left}"


def _timed(clock: dict) -> list[str]:
    return [f"{clock['guards'] + clock['rest']:.2f}", f"{clock['guards']:.3f}", f"{100 * clock['more']:.2f} %"]


def _about(section: dict) -> str:
    told = section["command_line"].replace(" --stages ", "` with stages `").replace(" --results", "")
    return f"`{told}`. {made(section, 'faults')}"
