"""Numbers that the paper and its reproductions have published, to be put beside ours. Data only.

Every table is keyed by (system, dim, variant) in the names of this project: systems ``charge r1 r2 spring damped
discontinuous``, variants ``standard bottleneck l1 kl pruning`` (the paper's FlatHGN is ``flat_hgn``; the fork's
networks carry their loss, as in ``pm-mae``). A cell that was not published is not in the table. ``Table.ours``
is where ``reproductions.scores`` keeps the number that is defined alike; None where nothing is, or the definition
was not published.

Sources: M. Cranmer et al. 2020 (arXiv:2006.11287) and the repositories named in each table, as read in 2026.
"""

from dataclasses import dataclass

PAPER = "arXiv:2006.11287"
ESZT2 = "github.com/elizabethsztan/symbolic_distillation_GNNs"
YL2063 = "github.com/yl20633144/Symbolic-Distillation-of-Neural-Networks"
VJ279 = "github.com/VishalJ99/symbolic_distillation"
FORK = "github.com/BernardoRicci/symbolic_deep_learning"


@dataclass(frozen=True)
class Table:
    """One published table. ``values``: (system, dim, variant) -> number, tuple of numbers, text or bool."""

    source: str
    what: str
    definition: str
    values: dict
    ours: tuple[str, ...] | None = None


def _grid(variants: str, rows: dict) -> dict:
    """{(system, dim): entries} with one entry a variant, "-" where there is none, to {(system, dim, variant): entry}.

    Entries are numbers, pairs of numbers "a,b", or words.
    """
    out = {}
    for (system, dim), text in rows.items():
        for variant, entry in zip(variants.split(), text.split(), strict=True):
            if entry != "-":
                out[system, dim, variant] = _entry(entry)
    return out


def _entry(text: str):
    if "," in text:
        return tuple(float(part) for part in text.split(","))
    try:
        return float(text)
    except ValueError:
        return {"yes": True, "no": False}.get(text, text)


FOUR = "standard bottleneck l1 kl"
FIVE = FOUR + " pruning"
TRIMMED = (
    "least squares of the 90 % of edges with the smallest residuals, of each standardised message component"
    " on the force; mean of the D components of largest standard deviation (kl: largest mean KL)"
)

TABLES = {
    "paper_r2": Table(
        f"{PAPER}, Table 1",
        "R2 of the D most important message components against the true force",
        "the released code fits trimmed to 90 %; whether the score is trimmed too was not released",
        _grid(
            FOUR,
            {
                ("charge", 2): "0.016 0.947 0.004 0.185",
                ("charge", 3): "0.013 0.980 0.002 0.425",
                ("r1", 2): "0.000 1.000 1.000 0.796",
                ("r1", 3): "0.000 1.000 1.000 0.332",
                ("r2", 2): "0.004 0.993 0.990 0.770",
                ("r2", 3): "0.002 0.994 0.977 0.214",
                ("spring", 2): "0.032 1.000 1.000 0.883",
                ("spring", 3): "0.036 0.995 1.000 0.214",
            },
        ),
        ("r2", "force", "trimmed", "r2"),
    ),
    "paper_mae": Table(
        f"{PAPER}, Table 3",
        "mean absolute error of the accelerations on a new data set",
        "whether components and particles are summed or averaged is not stated",
        _grid(
            FOUR + " flat_hgn",
            {
                ("charge", 2): "48.688 50.012 51.906 59.927 54.962",
                ("charge", 3): "1.174 0.986 0.940 4.201 3.538",
                ("damped", 2): "0.299 0.328 0.300 1.466 0.346",
                ("damped", 3): "0.415 0.449 0.400 3.297 0.474",
                ("discontinuous", 2): "0.064 0.074 0.044 1.804 0.075",
                ("discontinuous", 3): "0.199 0.177 0.126 4.191 0.139",
                ("r1", 2): "0.077 0.069 0.079 3.463 0.050",
                ("r1", 3): "0.051 0.050 0.055 3.523 0.017",
                ("r2", 2): "1.613 1.640 1.184 9.252 1.284",
                ("r2", 3): "3.976 3.591 3.366 9.788 2.476",
                ("spring", 2): "0.047 0.046 0.045 1.659 0.016",
                ("spring", 3): "0.111 0.110 0.090 3.797 0.010",
            },
        ),
    ),
    "paper_sr": Table(
        f"{PAPER}, Table 5",
        "does symbolic regression of the top message give the force law?",
        "the authors' judgement of PySR's equation",
        _grid(
            FOUR,
            {
                ("charge", 2): "no yes no no",
                ("charge", 3): "no yes no no",
                ("r1", 2): "no yes yes yes",
                ("r1", 3): "no yes yes yes",
                ("r2", 2): "no yes yes no",
                ("r2", 3): "no yes yes no",
                ("spring", 2): "no yes yes yes",
                ("spring", 3): "no yes yes yes",
            },
        ),
    ),
    "eszt2_r2": Table(
        f"{ESZT2}, report/summary.pdf, Table 1",
        "R2 against the true force, the worst 10 % of residuals left out",
        TRIMMED,
        _grid(
            FIVE,
            {
                ("charge", 2): "0.466 0.995 0.692 0.029 0.998",
                ("r1", 2): "0.414 0.839 0.844 0.594 0.838",
                ("r2", 2): "0.833 0.967 0.830 0.866 0.973",
                ("spring", 2): "0.920 1.000 0.998 0.801 0.952",
            },
        ),
        ("r2", "force", "trimmed", "r2"),
    ),
    "eszt2_r2_ols": Table(
        f"{ESZT2}, linrepr_plots/*/r2_scores_epoch_100.json (a later run)",
        "R2 against the true force, all edges",
        "ordinary least squares over all edges; mean of the two components",
        _grid(
            FIVE,
            {
                ("charge", 2): "0.01 0.56 0.23 0.26 0.68",
                ("r1", 2): "0.17 0.39 0.38 0.18 0.39",
                ("r2", 2): "0.00 0.46 0.01 0.19 0.46",
                ("spring", 2): "0.70 0.99 0.99 0.65 0.68",
            },
        ),
        ("r2", "force", "trimmed", "r2_ols"),
    ),
    "eszt2_sr": Table(
        f"{ESZT2}, report/summary.pdf, Table 2",
        "message components of two whose law was found (kl: total only)",
        "the right equation anywhere on PySR's Pareto front",
        _grid(
            FIVE,
            {("charge", 2): "0 2 1 - 2", ("r1", 2): "2 2 2 - 2", ("r2", 2): "0 2 0 - 2", ("spring", 2): "2 2 2 - 2"},
        ),
    ),
    "yl2063_r2": Table(
        f"{YL2063}, report/report.pdf",
        "R2 of each of the two top components against the true force",
        "ordinary least squares over all edges, not standardised; components of largest standard deviation",
        _grid(
            FOUR,
            {
                ("spring", 2): "0.343,0.337 0.997,0.998 0.833,0.863 0.466,0.487",
                ("charge", 2): "0.011,0.033 0.763,0.162 0.443,0.158 0.584,0.350",
                ("r2", 2): "0.020,0.043 0.668,0.525 0.201,0.206 0.163,0.162",
                ("r1", 2): "0.431,0.425 0.409,0.530 0.470,0.508 0.391,0.302",
            },
        ),
        ("r2", "force", "ols", "components"),
    ),
    "yl2063_r2_acceleration": Table(
        f"{YL2063}, report/report.pdf",
        "R2 of each of the two top components against the acceleration F/m",
        "ordinary least squares over all edges, not standardised; components of largest standard deviation",
        _grid(FOUR, {("r1", 2): "- 0.956,0.948 0.884,0.863 0.571,0.529"}),
        ("r2", "acceleration", "ols", "components"),
    ),
    "yl2063_mae": Table(
        f"{YL2063}, report/report.pdf",
        "test error of the accelerations",
        "mean over particles of the sum of |error| over components",
        _grid(
            FOUR,
            {
                ("spring", 2): "0.024 0.021 0.027 1.445",
                ("charge", 2): "2.619 3.266 0.403 2.860",
                ("r2", 2): "8.945 9.268 8.230 12.415",
                ("r1", 2): "0.040 0.034 0.068 1.995",
            },
        ),
        ("mae", "all", "per_particle"),
    ),
    "yl2063_sr": Table(
        f"{YL2063}, report/report.pdf",
        "was the law found from the top component? perfect, partial or no",
        "the author's judgement; PySR's own choice or the front",
        _grid(
            FOUR,
            {
                ("spring", 2): "no perfect partial no",
                ("charge", 2): "no perfect no perfect",
                ("r2", 2): "no partial no partial",
                ("r1", 2): "no partial partial partial",
            },
        ),
    ),
    "vj279_r2_force": Table(
        f"{VJ279}, report",
        "R2 against the true force; dimension 3 with 8 particles",
        "squared correlation over all edges of the fit trimmed to 90 %, graphs in the 0.01 % tails of velocity or"
        " acceleration left out; mean of the D components of largest standard deviation",
        _grid(
            FOUR,
            {
                ("charge", 3): ".429 .817 .683 .251",
                ("charge", 2): ".006 .700 .006 .381",
                ("r2", 3): ".502 .518 .505 .323",
                ("r2", 2): ".001 .411 .181 .291",
                ("r1", 3): ".402 .403 .364 .333",
                ("r1", 2): ".314 .324 .324 .250",
                ("spring", 3): ".430 .430 .990 .918",
                ("spring", 2): ".422 .999 1.000 .768",
            },
        ),
        ("r2", "force", "correlation", "r2"),
    ),
    "vj279_r2_acceleration": Table(
        f"{VJ279}, report",
        "R2 against the acceleration F/m; dimension 3 with 8 particles",
        "as vj279_r2_force",
        _grid(
            FOUR,
            {
                ("charge", 3): ".990 .788 .897 .472",
                ("charge", 2): ".050 .897 .055 .431",
                ("r2", 3): ".955 .998 .979 .564",
                ("r2", 2): ".397 .985 .528 .426",
                ("r1", 3): ".999 .999 .904 .859",
                ("r1", 2): ".962 .994 .994 .835",
                ("spring", 3): "1.000 1.000 .438 .532",
                ("spring", 2): ".999 .431 .430 .640",
            },
        ),
        ("r2", "acceleration", "correlation", "r2"),
    ),
    "vj279_mae": Table(
        f"{VJ279}, report",
        "test error of the accelerations, 0.01 % tails left out",
        "mean over particles of the sum of |error| over components (src/losses.py)",
        _grid(
            FOUR,
            {
                ("charge", 3): ".110 .140 .157 3.325",
                ("charge", 2): ".466 .462 .483 3.267",
                ("r2", 3): ".175 .175 .213 3.83",
                ("r2", 2): ".475 .461 .450 4.04",
                ("r1", 3): ".0283 .0261 .0408 3.25",
                ("r1", 2): ".0254 .0238 .0326 2.34",
                ("spring", 3): ".0566 .0595 .0728 2.68",
                ("spring", 2): ".0200 .0182 .0249 1.75",
            },
        ),
        ("mae", "tails_cut", "per_particle"),
    ),
    "vj279_sparsity": Table(
        f"{VJ279}, report",
        "share of the top D components in the sum of standard deviations",
        "standard deviations over all edges, tails left out",
        # springs: 1.000 and .999, which is of 2-D and which of 3-D is not clear
        _grid("l1", {("r1", 2): ".925", ("charge", 2): ".263", ("charge", 3): ".474", ("r2", 2): ".525"}),
        ("sparsity", "std_share_tails_cut"),
    ),
    "vj279_law_and_gnn_mae": Table(
        f"{VJ279}, report",
        "test error of the distilled equations and of the best network",
        "as vj279_mae; constants of the equations not refitted; (equations, network) of the best variant",
        _grid(
            "best",
            {
                ("charge", 3): "2.775,.110",
                ("r2", 3): "3.225,.518",
                ("r2", 2): "1.956,.450",
                ("r1", 3): ".161,.0261",
                ("r1", 2): ".0290,.0238",
                ("spring", 2): ".0234,.0182",
            },
        ),
    ),
    "fork_acpcr": Table(
        f"{FORK}, figures (read off)",
        "share of accelerations predicted to better than 0.02",
        "|error| < 0.02 of a component",
        _grid("bottleneck-mae pm-mae l1-mae cust-mae kl-mae", {("r1", 2): ".73 .66 .65 .22 .04"})
        | _grid("bottleneck-huber pm-huber l1-huber cust-huber kl-huber", {("r1", 2): ".46 .40 .39 .15 .03"})
        | _grid("bottleneck-mse pm-mse l1-mse cust-mse kl-mse", {("r1", 2): ".105 .078 .090 .043 .030"})
        | _grid(
            "bottleneck-mae cust-huber", {("r2", 2): ".17 .05", ("spring", 2): ".76 .30", ("charge", 2): ".13 .03"}
        ),
        ("acpcr", "all"),
    ),
    "fork_sr": Table(
        f"{FORK}, notebook",
        "PySR's equation of the top message, 30 iterations",
        "as printed; only the first is a law",
        {
            ("r1", 2, "bottleneck-mae"): "m2(dy-dx)/r^2",
            ("r1", 2, "cust-huber"): "m2/(1.23+r+dx)^3",
            ("r2", 2, "bottleneck-mae"): "-0.40 dx/r^2",
            ("r2", 2, "cust-huber"): "(r-dy)/(r^3+.0054)",
            ("spring", 2, "bottleneck-mae"): "-1.04 dy",
            ("spring", 2, "cust-huber"): "-0.343 dy",
            ("charge", 2, "bottleneck-mae"): "-0.45 dx/r^2",
            ("charge", 2, "cust-huber"): ".217(dx-r+dy)/(r+r^3)",
        },
    ),
}

# successes of symbolic regression and trials by variant, where only totals were published or to check the cells
SR_TOTALS = {
    "paper_sr": {"standard": (0, 8), "bottleneck": (8, 8), "l1": (6, 8), "kl": (4, 8)},
    "eszt2_sr": {"standard": (4, 8), "bottleneck": (8, 8), "l1": (5, 8), "kl": (1, 8), "pruning": (8, 8)},
    "eszt2_sr_later": {"standard": (4, 8), "bottleneck": (8, 8), "l1": (6, 8), "kl": (4, 8), "pruning": (8, 8)},
    "vj279_edge_sr": {"standard": (8, 20), "bottleneck": (19, 20), "l1": (12, 20), "kl": (6, 20)},
    "vj279_node_sr": {"standard": (16, 20), "bottleneck": (15, 20), "l1": (12, 20), "kl": (3, 20)},
}

# eszt2's pruning of charge messages in 2-D, 100 -> 2 components, one seed each: (schedule, share of training at which
# it ends) -> (trimmed R2, ordinary R2 over all edges); the original repository's grid and that of its port to SymTorch
PRUNING_SCHEDULES = ("exponential", "linear", "cosine")
PRUNING_ENDS = (0.65, 0.75, 0.85)


def _pruning(trimmed: str, ols: str) -> dict:
    keys = [(schedule, end) for schedule in PRUNING_SCHEDULES for end in PRUNING_ENDS]
    pairs = zip(trimmed.split(), ols.split(), strict=True)
    return {key: (float(a), float(b)) for key, (a, b) in zip(keys, pairs, strict=True)}


ESZT2_PRUNING = {
    "earlier": _pruning(
        "0.991 0.995 0.973 0.987 0.994 0.471 0.998 0.995 0.970", "0.672 0.674 0.470 0.668 0.612 0.131 0.687 0.730 0.576"
    ),
    "later": _pruning(
        "0.901 0.992 0.975 0.997 0.989 0.976 0.994 0.984 0.883", "0.010 0.659 0.499 0.698 0.641 0.361 0.657 0.613 0.591"
    ),
}


def published(system: str, dim: int, variant: str) -> dict:
    """What was published of a cell: name of the table -> value."""
    key = (system, dim, variant)
    return {name: table.values[key] for name, table in TABLES.items() if key in table.values}
