"""How a run was made, for its report: commands, seeds, commits, versions and digests of what each stage read."""

import shlex

from distill.report.page import code, details, shown, table, text

_SCRIPTS = {
    "dataset": "simulate.py",
    "config": "train.py",
    "messages_train": "extract_messages.py",
    "messages_test": "extract_messages.py",
    "linear_fit": "fit_linear.py",
    "law": "symbolic_reg.py",
    "generalization": "test_generalization.py",
}
# flags without a --no form
_SWITCHES = ("overwrite", "quick", "resume", "wandb", "sr_on_inputs", "raw_inputs", "animate", "plot")


def command(script: str, arguments: dict) -> str:
    """The command line of these arguments, for a shell, defaults spelled out."""
    words = ["python", script]
    for key, value in arguments.items():
        flag = f"--{key.replace('_', '-')}"
        if isinstance(value, dict) or value is None or value == "" or key == "overwrite":
            continue
        if isinstance(value, bool):
            if value or key not in _SWITCHES:
                words.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, list):
            words += [flag, *map(str, value)] if value else []
        else:
            words += [flag, str(value)]
    return shlex.join(words)


def provenance(m) -> str:
    rows, commands, hashes = [], [], []
    for name, script in _SCRIPTS.items():
        stage = m.json.get(name)
        if not stage or "arguments" not in stage:
            continue
        git = stage.get("git") or {}
        commit = code((git.get("commit") or "unknown")[:7]) + (" + changes" if git.get("dirty") else "")
        versions = ", ".join(f"{k} {v}" for k, v in (stage.get("versions") or {}).items())
        label = script if not name.startswith("messages") else f"{script} ({name.removeprefix('messages_')})"
        rows.append(
            [
                code(label),
                shown(stage["arguments"].get("seed")),
                shown(stage.get("seconds")),
                commit,
                text(f"Python {stage.get('python')}, {versions}"),
                text(stage.get("device")),
            ]
        )
        commands.append(command(script, stage["arguments"]))
        for key, entry in (stage.get("inputs") or {}).items():
            hashes.append(
                [
                    code(script),
                    text(f"{key}: {entry.get('path')}"),
                    f'<span class="hash">{code(entry.get("sha256"))}</span>',
                ]
            )
    if not rows:
        return '<p class="note">No stage has left a record.</p>'
    commands = list(dict.fromkeys(commands))
    body = table(["stage", "seed", "seconds", "commit", "versions", "device"], rows)
    body += details("Commands", f"<pre>{text(chr(10).join(commands))}</pre>")
    return body + (details("Inputs and their SHA-256", table(["stage", "input", "sha256"], hashes)) if hashes else "")


def footer(m) -> str:
    return (
        "<footer>Method after M. Cranmer et al., Discovering Symbolic Models from Deep Learning with Inductive"
        " Biases, 2020 (arXiv:2006.11287). This page stands alone and loads nothing from elsewhere.</footer>"
    )
