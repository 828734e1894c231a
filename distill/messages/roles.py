"""Which trajectories of a messages file do what: read-out, search, fit and choice each have their own where the data
allow it, so that none of them is judged by what another has seen.
"""

import numpy as np

SHARES = {"read_out": 0.3, "search": 0.2, "fit": 0.3, "choice": 0.2}  # of the trajectories
TRAJECTORIES, EDGES = 40, 100_000  # the least that are shared out
NODES = "active"  # the only array of a messages file that has no row for every edge


def roles(messages: dict, seed: int = 0) -> dict[str, np.ndarray] | None:
    """Role -> its trajectories; None where there are too few, and all do everything but fit and choose."""
    known = np.unique(messages["trajectory"])
    if len(known) < TRAJECTORIES or len(messages["r"]) < EDGES:
        return None
    order = np.random.default_rng([seed, 71]).permutation(known)
    ends = np.round(np.cumsum(list(SHARES.values())) * len(known)).astype(int)[:-1]
    return {name: np.sort(part) for name, part in zip(SHARES, np.split(order, ends), strict=True)}


def edges_of(role: str, messages: dict, seed: int = 0) -> np.ndarray:
    """Numbers of the edges on trajectories of that role; of all where these are shared."""
    shared_out = roles(messages, seed)
    if shared_out is None:
        return np.arange(len(messages["r"]))
    return np.flatnonzero(np.isin(messages["trajectory"], shared_out[role]))


def part(role: str, messages: dict, seed: int = 0) -> dict:
    """The arrays of a messages file on trajectories of that role."""
    edges = edges_of(role, messages, seed)
    if len(edges) == len(messages["r"]):
        return messages
    return {k: v if k == NODES else v[edges] for k, v in messages.items()}


def account(messages: dict, test: dict | None, seed: int = 0) -> dict:
    """JSON-ready: how many trajectories did what."""
    count, shared_out = len(np.unique(messages["trajectory"])), roles(messages, seed)
    unseen = 0 if test is None else len(np.unique(test["trajectory"]))
    last = f"final errors are of {unseen} test trajectories" if unseen else "final errors are of those that chose"
    if shared_out is None:
        text = (
            f"{count} trajectories are fewer than {TRAJECTORIES}, or their {len(messages['r'])} edges than {EDGES}:"
            f" read-out and search see all, a third chooses and the rest are fitted; {last}"
        )
        return {"shared": True, "read_out": count, "search": count, "fit": None, "choice": None} | {
            "test": unseen,
            "text": text,
        }
    sizes = {name: len(part) for name, part in shared_out.items()}
    told = ", ".join(f"{name.replace('_', '-')} {size}" for name, size in sizes.items())
    return {"shared": False, **sizes, "test": unseen, "text": f"trajectories of their own: {told}; {last}"}
