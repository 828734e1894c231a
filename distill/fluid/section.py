"""What the report says of a fluid in a periodic box beyond other systems: its parameters, structure and dynamics."""

import numpy as np

from distill.files.kinds import Generalization, LawRecord
from distill.files.properties import ordered, variables, with_symbol
from distill.fluid import figures
from distill.fluid.figures import NAMES
from distill.fluid.sigma_epsilon import by_pair
from distill.formulas.text import parse
from distill.physics.law import Law
from distill.physics.terms.cases import cases
from distill.report import plots
from distill.report.page import image, table, text
from distill.report.page import shown as cell
from distill.report.words import shown

KIND = "fluid"  # of the rollouts of ``distill.fluid.rollouts``
POINTS = 400


def of_fluid(rollouts) -> bool:
    return isinstance(rollouts, dict) and rollouts["kind"] == KIND


# ---------------------------------------------------------------- words


def measured(one: dict) -> str:
    """``3.4012 ± 0.0003 A``."""
    error = "" if one["standard_error"] is None else f" ± {shown(one['standard_error'], 2)}"
    return f"{shown(one['value'], 6)}{error}" + (f" {one['unit']}" if one["unit"] else "")


def within(one: dict) -> str:
    """Whether a model's g(r) lies within the spread of the reference, with the numbers it rests on."""
    if one.get("deviation_mean") is None:
        return "no g(r): every run blew up"
    said = "within the reference's spread" if one["within_spread"] else "outside the reference's spread"
    largest = max(one["reference_deviations"])
    p = "" if one.get("p_value") is None else f", p {shown(one['p_value'], 2)}"
    return f"{said} (off by {shown(one['deviation_mean'])}, its own seeds by up to {shown(largest)}{p})"


def with_error(one: dict) -> str:
    error = one["standard_error"]
    return shown(one["mean"], 4) + ("" if error is None else f" ± {shown(error, 2)}")


def lines(law: LawRecord, result: Generalization) -> list[str]:
    """For the terminal; none for a system that is no fluid."""
    out, r = [], result.rollouts
    for pair, found in by_pair(law.lennard_jones).items():
        if found is None:
            out.append(f"{f'force of {pair}':<16} not a/r^13 - b/r^7")
        for name in ("sigma", "epsilon") if found else ():
            true = "" if found[name]["true"] is None else f" (true {shown(found[name]['true'], 6)})"
            out.append(f"{f'{name} {pair}':<16} {measured(found[name])}{true}")
    out += [f"not simulated    {name}: {why}" for name, why in result.skipped_sets.items()]
    if not of_fluid(r):
        return out
    warm, still, g = (r[k]["models"] for k in ("constant_temperature", "constant_energy", "g_r"))
    for who in ("law", "gnn"):
        drift = still[who]["energy_drift_end"]
        out.append(
            f"fluid, {NAMES[who]:<9} g(r) {within(g[who])}; {with_error(warm[who]['temperature_K'])} K"
            f" (bath {shown(r['temperature_K'], 4)}); energy drifts by {shown(drift['median_size'])} of the"
            f" kinetic energy in {shown(drift['at_ps'])} ps"
        )
        for failed in warm[who]["failed"] + still[who]["failed"]:
            out.append(f"                 start {failed['start']} failed at {failed['at_ps']:.3g} ps: {failed['why']}")
    return out


# ---------------------------------------------------------------- parts of the page


def simulation_rows(m) -> list[list[str]]:
    """Box, cutoff and conditions of the data, for the table of what was simulated."""
    report, rows = m.dataset.report if m.dataset else {}, []
    if m.system.cutoff:
        rows.append(["Cutoff of the force", f"{cell(m.system.cutoff)} A; {text(m.system.law_holds)}"])
    if t := report.get("temperature_K"):
        told = f"{cell(t['mean'], 4)} K (asked for {cell(t['target'])})"
        rows.append(["Temperature", f"{told}, standard deviation of a frame {cell(t['std'])}"])
    for key, label, unit in (
        ("pressure_bar", "Pressure", "bar"),
        ("smallest_distance_A", "Smallest distance", "A"),
        ("largest_force_kJ_per_mol_nm", "Largest force component", "kJ/mol/nm"),
        ("engine", "Engine", ""),
    ):
        if report.get(key) is not None:
            rows.append([label, f"{cell(report[key])} {unit}"])
    return rows


def law_parts(m) -> list[str]:
    """Sigma and epsilon of the law found, and its f(r) beside the true one: below the law."""
    if not m.cut_off:
        return []
    found, body, rows = m.law.lennard_jones, "", []
    for pair, of_pair in by_pair(found).items():
        if of_pair is None:
            rows.append([text(f"force of {pair}"), "not of the form", "—"])
        for name in ("sigma", "epsilon") if of_pair else ():
            one = of_pair[name]
            true = "—" if one["true"] is None else f"{cell(one['true'], 6)} {text(one['unit'] or '')}"
            rows.append([text(f"{name} {pair}"), text(measured(one)), true])
    if found:
        body += table(["parameter", "found", "true"], rows, f"The law is {text(found['form'])}: {text(found['what'])}.")
    else:
        body += '<p class="note">The law is not of the form a/r^13 - b/r^7: it has no sigma and epsilon.</p>'
    top, ranges = m.law.cutoff, m.law.verdict.ranges
    r = np.linspace(ranges["near"][0] if ranges else 0.3 * top, top, POINTS)
    label = f"{'kJ/mol/nm' if m.units else 'units of the data'}"
    figure = image(
        plots.save_bytes(figures.pair_forces(r, curves(m.law, r), label)),
        "Pair force of law and truth",
        text(of_forces(m, r, label)),
    )
    return [f"<h3>As a pair potential</h3>{body}{figure}"]


def of_forces(m, r: np.ndarray, unit: str) -> str:
    """The caption of the pair forces."""
    known = " and of the truth" if m.law.truth else ""
    said = f"f(r) in {unit} of the law{known} for masses of 1, at n = {len(r)} distances from {shown(float(r[0]))} to"
    said += f" {shown(float(r[-1]))} {m.units.get('pos', 'A')}, the smallest distance of the data to the cutoff."
    return said + (" Left: clipped so that the well is seen. Right: the difference." if m.law.truth else "")


def curves(law: LawRecord, r: np.ndarray) -> dict[str, tuple]:
    """f ``[sample]`` at ``r`` of the law and of the truth (None: not known) for masses of 1, by the name of the pair of
    species, one without a name where there is one species. A pair stands once where action is reaction in both.
    """
    names = {with_symbol(name[:-2]).name for name in law.pair.variables if name[-2:] == "_i"}
    both = [
        Law(parse(one.text, variables(names)), properties=ordered(names)) if one else None
        for one in (law.pair, law.truth)
    ]
    found, of_pair = {}, {}
    for case in cases(ordered(names)) or [None]:
        ends = {v: 0.0 for v in variables(names)[1:]} | {"m_i": 1.0, "m_j": 1.0}
        ends |= dict.fromkeys(case.variables, 1.0) if case else {}
        name, own = (case.name, (case.receiver, case.sender)) if case else ("", None)
        found[name] = tuple(one and one.radial(r, **ends) for one in both)
        same = of_pair.get(own and own[::-1])
        if same is not None and all(a is None or np.allclose(a, b) for a, b in zip(found[name], same, strict=True)):
            del found[name]
        of_pair[own] = found.get(name)
    return found


def trust(m) -> list[tuple[str, str]]:
    """Whether the law makes the same fluid, for the first screen."""
    if not m.generalization or not of_fluid(r := m.generalization.rollouts):
        return []
    law, gnn = (r["g_r"]["models"][k] for k in ("law", "gnn"))
    return [("Fluid", f"g(r) under the law: {within(law)}; under the network: {within(gnn)} (n = {r['n']:,} starts).")]


draw_rollouts = figures.rollouts


def of_structure(r: dict) -> str:
    """The caption of g(r)."""
    runs = ", ".join(f"{NAMES[k]} n = {one.get('n', 0)}" for k, one in r["g_r"]["models"].items())
    said = f"Left: g(r) (no unit) against r in A; runs: {runs}. Grey: least and greatest of n = "
    return f"{said}{r['g_r']['reference']['n']} runs of the reference. Right: the same less the mean of these."


def of_energy(still: dict) -> str:
    """The caption of the drifts."""
    runs = ", ".join(f"{NAMES[k]} n = {one['n']}" for k, one in still["models"].items())
    said = "Size of the median drift of the true energy over the kinetic energy (no unit), without a thermostat,"
    return f"{said} {shown(still['time_ps'])} ps; runs: {runs}."


def rollouts(r: dict) -> str:
    """The section on the rollouts of a fluid."""
    g, warm, still = r["g_r"], r["constant_temperature"], r["constant_energy"]
    driven = f"a Langevin bath of friction {cell(r['friction_per_ps'])}/ps" if r["friction_per_ps"] else "no thermostat"
    body = (
        f'<p class="lead">{cell(r["n"])} new starts of {cell(r["particles"])} atoms at {cell(r["temperature_K"], 4)} K,'
        f" driven by the truth, the law and the network. Single paths part exponentially in a fluid and say nothing:"
        f" what counts is whether it is the same fluid. First with {driven} for {cell(warm['time_ps'])} ps.</p>"
    )
    body += image(
        plots.save_bytes(figures.structure(g)),
        "g(r) of the fluid under truth, law and network",
        text(of_structure(r)),
    )
    rows = []
    for name, label in NAMES.items():
        one, t = g["models"][name], warm["models"][name]
        rows.append(
            [
                label,
                f"{cell(t['n'])} of {shown(float(np.mean(t['ran_ps'])))} ps",
                one.get("deviation_mean"),
                "yes" if one["within_spread"] else "no",
                one.get("p_value"),
                one.get("mean_in_standard_errors"),
                text(with_error(t["temperature_K"])),
                cell(t["cpu_ms_a_step"]),
                cell(len(t["failed"])),
            ]
        )
    largest = max(g["reference"]["deviations"])
    seeds = f"{cell(g['reference']['n'])} seeds"
    told = f"up to {cell(largest)} over the whole time; shorter runs are held to runs as short."
    header = (
        "driven by; runs; deviation of g(r); within the spread; p; in standard errors; temperature, K; CPU ms a step"
    )
    body += table([*header.split("; "), "failed"], rows, f"Deviation of a reference run ({seeds}): {told}")
    body += image(
        plots.save_bytes(figures.energy(still)),
        "Drift of the true energy at constant energy",
        text(of_energy(still)),
    )
    rows = []
    for name, label in NAMES.items():
        one = still["models"][name]
        end = one["energy_drift_end"]
        rows.append(
            [
                label,
                f"{cell(one['n'])} of {shown(float(np.mean(one['ran_ps'])))} ps",
                end["median_size"],
                one["energy_drift_per_atom_kJ_per_mol"],
                one["momentum_drift_median"],
                text(with_error(one["temperature_K"])),
                cell(len(one["failed"])),
            ]
        )
    header = (
        "driven by; runs; drift / kinetic energy; drift an atom, kJ/mol; drift of the momentum; temperature, K; failed"
    )
    body += table(header.split("; "), rows, "At the end of the runs, medians over them.")
    body += (
        f'<p class="note">Deviation: {text(g["deviation_is"])}. Within the spread: {text(g["within_spread_is"])}. p:'
        f" {text(g['p_value_is'])}. In standard errors: {text(g['mean_in_standard_errors_is'])}. Energy drift:"
        f" {text(still['energy_drift_is'])}. Momentum: {text(still['momentum_drift_is'])}. Method:"
        f" {text(r['method'])}; time step {cell(r['dt_ps'])} ps. The network’s runs were given"
        f" {cell(r['network_cpu_seconds_allowed'])} s of CPU time; where that did not reach, they are shorter.</p>"
    )
    failed = [
        f"{NAMES[k]}, start {f['start']}, at {f['at_ps']:.3g} ps: {f['why']}"
        for part in (warm, still)
        for k, one in part["models"].items()
        for f in one["failed"]
    ]
    return body + "".join(f'<p class="note">Failed: {text(what)}.</p>' for what in failed)
