"""The tables on Lennard-Jones argon, from its cells (``evaluate.py``): networks, gamd_sr's rows, laws, dynamics."""

from cells import SECTIONS
from table_cells import Cells, conditions, error, r2

from distill.files.properties import VARIABLES
from distill.fluid.lennard_jones import ARGON, GRAM_PER_MOL
from distill.formulas.text import parse, to_text
from distill.network.recipes import PRIORS
from distill.report.markdown import markdown

MASS = ARGON["atom_mass"] * GRAM_PER_MOL
RECIPES, VARIANTS = ("newton", "paper"), ("bottleneck", "l1", "standard", "kl", "pruning", "std")
HOTTEST = "hotter_300K"
EXACT = 1e-9  # relative: rounding of the digits of a formula
GAMD = 0.257  # kJ/mol/nm, net force MAE that the notebook of GAMD's repository prints, 4 layers, frames of the
# trajectories that it trained on


def ordered(cells: Cells) -> list[dict]:
    """All cells by recipe, variant and seed."""
    return [c for recipe in RECIPES for v in VARIANTS for c in cells.get("lj", 3, v, recipe, n=258)]


def label(cell: dict) -> str:
    return f"{cell['recipe']}, {cell['variant']}, seed {cell['seed']}"


def row_of(cell: dict) -> dict:
    return (cell.get("fluid") or {}).get("gamd_sr") or {}


def ratio(value) -> str:
    """Law's error over the network's: the reciprocal too, where it says more."""
    if value is None:
        return "–"
    return "0 (exact)" if value < 1e-9 else f"1/{1 / value:.3g}" if value < 1 else f"{value:.3g}"


# ---------------------------------------------------------------- tables


NETWORKS = (
    "|training, CPU-min|net force MAE, test split, kJ/mol/nm|fresh seed|R² with the pair force, all edges|best 90 %"
    "|R² with potential x unit vector, all edges|R² of the force read from all components"
)
LAWS = (
    "|f(r) from the messages alone|σ, ε|after the refit on accelerations|σ, ε|recovered: messages alone|after the refit"
    "|control, no network|MAE law / network|at 300 K"
)
MEASURED = (
    "*From the messages alone*: before any refit, which measures the network; *after the refit*: constants fitted to "
    "the accelerations, which measures the refit; *control*: the same refit from fixed formulas, without a network."
)
WITH_PRIORS = (
    "R² with the pair force is bought by priors in the rows of the newton recipe ({}), and is that of a network "
    "without them in the rows of the paper recipe, positions as differences and geometric inputs apart, which a "
    "periodic box needs. All of one data set: networks of one seed are no independent trials."
)
ROWS = (
    "|1 GNN MAE|2 messages against potential, R²|3 messages against force, R²"
    "|4 formula of each message: MAE, % of its mean size; with one f(r) for all"
    "|5 summed messages against net force, R²|6 formula of the net force: MAE|7 law / network, fresh seed: MAE"
    "|8 law / network elsewhere: MAE"
)
DYNAMICS = (
    "|driven by|runs|g(r): RMS deviation from the reference|within the spread of seeds|p (permutation)"
    "|temperature, K|energy drift / kinetic energy|momentum drift"
)


def networks(cells: Cells) -> str:
    lines = []
    for c in ordered(cells):
        fit, potential = c["fit"]["force"], c.get("potential") or {}
        maes = MASS * c["messages"]["mae"]["all"]["per_component"], row_of(c).get("gnn_mae")
        r2s = fit["r2_all"], fit["r2_trim90"], potential.get("r2_all"), c["read_out"]["r2_all"]
        minutes = f"{c['training']['cpu_seconds'] / 60:.1f}"
        lines.append([label(c), minutes, *map(error, maes), *map(r2, r2s)])
    return f"{markdown(NETWORKS.split('|'), lines)}\n\n{WITH_PRIORS.format(', '.join(PRIORS.values()))}"


def laws(cells: Cells) -> str:
    lines = []
    for c in ordered(cells):
        law, row = c["law"], row_of(c)
        if law is None:
            continue
        line = [label(c)]
        for text, values in (("from_messages", "lennard_jones_from_messages"), ("law", "lennard_jones")):
            line += [f"`{shorter(law[text])}`", sigma_epsilon(c["fluid"].get(values))]
        line += [yes(law[k]) for k in ("from_messages_recovered", "recovered", "control_recovered")]
        hot = (row.get("extrapolation") or {}).get(HOTTEST)
        lines.append(line + [ratio((one or {}).get("law_over_gnn")) for one in (row.get("interpolation"), hot)])
    return f"{markdown(LAWS.split('|'), lines)}\n\n{MEASURED}"


def shorter(text: str) -> str:
    """A formula with constants of five digits."""
    return to_text(parse(text, VARIABLES), 5)


def sigma_epsilon(found: dict | None) -> str:
    if not found:
        return "–"
    out = []
    for name, unit in (("sigma", "Å"), ("epsilon", "kJ/mol")):
        one, off = found[name], ""
        if one.get("true"):
            share = one["value"] / one["true"] - 1
            off = f" ({100 * share:+.2g} %)" if abs(share) > EXACT else " (exact)"
        out.append(f"{one['value']:.6g} {unit}{off}")
    return ", ".join(out)


def yes(value) -> str:
    return {True: "yes", False: "no"}.get(value, "–")


def rows_of_gamd_sr(cells: Cells) -> str:
    """gamd_sr's list, a run a line."""

    def both(one: dict) -> str:
        return f"{error(one['law_mae'])} / {error(one['gnn_mae'])}"

    lines = []
    for c in ordered(cells):
        row = row_of(c)
        if not row:
            continue
        messages = "; ".join(
            ", ".join(f"{100 * m['relative']:.2g}" for m in row[key] or []) or "–"
            for key in ("message_sr", "message_sr_one_law")
        )
        net = row["net_force_sr"]
        net = "–" if net is None else f"{error(net['mae'])} (`a = {net['equation']}`)"
        beyond = "; ".join(f"{name.replace('_', ' ')} {both(one)}" for name, one in row["extrapolation"].items())
        line = [label(c), error(row["gnn_mae"]), r2(row["potential_r2"]), r2(row["force_r2"]), messages]
        lines.append([*line, r2(row["aggregate_r2"]), net, both(row["interpolation"]), beyond])
    return markdown(ROWS.split("|"), lines)


def dynamics(cells: Cells) -> str:
    """Rollouts: structure, temperature and energy under truth, law and network."""
    lines = []
    for c in ordered(cells):
        rolled = (c.get("fluid") or {}).get("rollouts") or {}
        if "g_r" not in rolled:
            continue
        g, warm, energy = (rolled[k] for k in ("g_r", "constant_temperature", "constant_energy"))
        spread = error(max(g["reference"]["deviations"]))
        for name in ("truth", "law", "gnn"):
            one, heat, kept = g["models"][name], warm["models"][name]["temperature_K"], energy["models"][name]
            drift = kept["energy_drift_end"]
            line = [label(c), {"gnn": "network"}.get(name, name), f"{one.get('n', 0)} x {one.get('time_ps', 0):.3g} ps"]
            line += [f"{error(one.get('deviation_mean'))} (largest of the reference {spread})"]
            line += [yes(one["within_spread"]), error(one.get("p_value")), temperature(heat)]
            line += [f"{error(drift['median_size'])} after {drift['at_ps']:.3g} ps"]
            lines.append([*line, error(kept["momentum_drift_median"])])
    return markdown(DYNAMICS.split("|"), lines) if lines else "No dynamics have been run."


def temperature(found: dict) -> str:
    if found["mean"] is None:
        return "–"
    return f"{found['mean']:.1f}" + (f" ± {found['standard_error']:.1f}" if found["standard_error"] else "")


# ---------------------------------------------------------------- page


def page(cells: Cells, missing: list[str]) -> str:
    """docs/argon.md below its introduction."""
    parts = [
        "## Networks and what their messages are\n\n"
        + networks(cells)
        + f"\n\nGAMD's own network of four layers: {GAMD} (printed by its repository's notebook; frames of the"
        " trajectories it was trained on).",
        "## Laws\n\n" + laws(cells),
        "## The rows that gamd_sr leaves blank\n\n" + rows_of_gamd_sr(cells),
        "## Dynamics under truth, law and network\n\n" + dynamics(cells),
        "## Conditions\n\n" + conditions(cells.of(SECTIONS["argon"].cells)),
    ]
    if missing:
        parts.append("Not run: " + ", ".join(f"`{run}`" for run in missing) + ".")
    return "\n\n".join(parts)
