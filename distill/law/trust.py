"""How far a law can be trusted where the truth is not known: what the data alone say."""


def without_truth(refined, left: dict) -> dict:
    """What data alone say of a refined law (``held_out``, ``network``, ``receivers``, ``chosen_share``).

    ``trusted``: it predicts accelerations no worse than its network, what it leaves is not predictable
    (``left`` from ``residuals.structure``), and other trajectories would have chosen the same formula. Wrong
    exponents pass the first of these, not the second.
    """
    ok = {
        "predicts worse than its network": refined.held_out <= 1.05 * refined.network,
        left["text"]: not left["structured"],
        f"chosen in {100 * refined.chosen_share:.0f} % of draws only": refined.chosen_share >= 0.5,
    }
    failed = [what for what, good in ok.items() if not good]
    return {
        "trusted": not failed,
        "why": "; ".join(failed) or f"no worse than its network, {left['text']}, and the choice is stable",
        "law_predicts_as_well_as_network": ok["predicts worse than its network"],
        "residuals": left,
        "held_out_error": refined.held_out,
        "network_error": refined.network,
        "n": refined.receivers,
    }
