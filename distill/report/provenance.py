"""How a run was made, for its report: commands, seeds, commits, versions and digests of what each stage read."""

import shlex

from distill.report.page import code, details, shown, table, text
from distill.report.stages import PRIORS

# Flags with a --no-... to switch them off; another flag that is off is left out.
SWITCHES = (*PRIORS, "scale_output", "deterministic", "guesses", "capture")
NO_REPEAT = ("overwrite", "resume", "wandb", "track")  # are about one call, not about what it makes


def command(script: str, arguments: dict) -> str:
    """The command line of these arguments, defaults spelled out, to be pasted into a shell."""
    words = ["python", script]
    instead = {"run"} if arguments.get("messages") or arguments.get("dataset") else set()  # of the folder then
    instead |= {"engine"} if arguments.get("hall_of_fame") else set()
    for key, value in arguments.items():
        if key in instead:
            continue
        flag = f"--{key.replace('_', '-')}"
        if value in (None, "", []) or isinstance(value, dict) or key in NO_REPEAT or key.endswith("_sha256"):
            continue
        if value is False:
            words += [f"--no-{flag[2:]}"] if key in SWITCHES else []
        elif value is True:
            words.append(flag)
        else:
            words += [flag, *map(str, value if isinstance(value, list) else [value])]
    return shlex.join(words)


def provenance(m) -> str:
    rows, commands, hashes = [], [], []
    for name, one in m.made().items():
        if not one.stage:
            continue  # made elsewhere
        script = f"{one.stage}.py"
        label = f"{script} ({name.removeprefix('messages_')})" if name.startswith("messages") else script
        commit = code((one.git.commit or "unknown")[:7]) + (" + changes" if one.git.dirty else "")
        versions = ", ".join(f"{k} {v}" for k, v in one.versions.items())
        seed, seconds = shown(one.arguments.get("seed")), shown(one.seconds)
        rows.append([code(label), seed, seconds, commit, text(f"Python {one.python}, {versions}"), text(one.device)])
        commands.append(command(script, one.arguments))
        for key, entry in one.inputs.items():
            digest = f'<span class="hash">{code(entry.sha256)}</span>'
            hashes.append([code(script), text(f"{key}: {entry.path}"), digest])
    if not rows:
        return '<p class="note">No stage has left a record.</p>'
    body = table(["stage", "seed", "seconds", "commit", "versions", "device"], rows)
    body += details("Commands", f"<pre>{text(chr(10).join(dict.fromkeys(commands)))}</pre>")
    return body + (details("Inputs and their SHA-256", table(["stage", "input", "sha256"], hashes)) if hashes else "")
