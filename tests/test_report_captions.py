"""Every figure of the report has a caption with its n and units; the page prints whole."""

import re

import numpy as np
import pytest
from filled import filled, write
from reported import RUN, checked, compared, law_json
from reported import write as write_stages

from distill.files import kinds
from distill.files.dataset import save_dataset
from distill.fluid import section
from distill.report import document, page, plots


def drawn() -> bytes:
    return plots.save_bytes(plots.importance_bars("std", [1.0, 0.1], [0], 0.9, ""))


def whole_run(places):
    """A run with the files of all stages."""
    rng = np.random.default_rng(0)
    arrays = {"pos": rng.normal(size=(10, 7, 3, 2)), "mass": np.ones((10, 3)), "split": np.repeat([0, 2], 5)}
    arrays |= {"charge": np.ones((10, 3)), "t": np.arange(7.0), "acc": rng.normal(size=(10, 7, 3, 2))}
    (places / "datasets").mkdir()
    save_dataset(places / "datasets" / "made.npz", arrays, filled(kinds.DatasetRecord, n=3, dim=2))
    weights = places / "model_weights" / RUN
    weights.mkdir(parents=True)
    trained = {"dataset": "made", "dataset_path": "made", "n": 3, "dim": 2, "options": {"loss": "mae", "hidden": 8}}
    trained |= {"model": {"message_dim": 9}, "train_graphs": 1234, "validation_graphs": 56}
    write(kinds.RunConfig, weights / "config.json", **trained)
    (weights / "history.csv").write_text("epoch,train_loss,validation_loss,validation_mae\n1,1,1,1\n2,0.5,0.5,0.5\n")
    scored = {k: filled(kinds.Scores) for k in ("force", "acceleration")}
    fit = {"targets": scored, "best_target": "force", "n_edges": 4321, "arguments": {"cutoff": 5000}}
    fit |= {"importance": [1.0, 0.1], "top_components": [0], "importance_is": "std"}
    law = law_json(arguments={"rows": 1500, "loss": "relative"})
    extracted = filled(kinds.MessagesRecord, n=3, dim=2)
    contents = {"linear_fit": filled(kinds.LinearFit, **fit), "messages_train": extracted}
    write_stages(places, law=law, generalization=compared(), **contents)
    for name in ("linear_fit", "importance"):
        (places / "outputs" / RUN / f"{name}.png").write_bytes(drawn())


def captions(html: str) -> list[str]:
    return [one.replace("&nbsp;", " ") for one in re.findall(r"<figcaption>(.*?)</figcaption>", html)]


def test_every_figure_says_of_how_many(places):
    whole_run(places)
    html, checker = checked(document.write_report(RUN))
    assert "could not be shown" not in html
    found = captions(html)
    assert len(found) == len(checker.alts) == html.count("<figure>") == 7
    assert all(re.search(r"n = \d", one) for one in found)
    paths, training, messages, importance, fronts, sets, curves = found
    assert "n = 3 of the 5 trajectories of the test split, 7 frames each" in paths and "units of the data" in paths
    assert "n = 1,234 frames to train, n = 56 to validate" in training and "loss (mae)" in training
    assert "n = 4,321 edges are drawn" in messages and "over all n = 4,321" in messages  # fewer than are drawn at most
    assert "n = 4,321 edges" in importance and "of 2 message components" in importance
    assert "at most n = 1,500 edges" in fronts and "radial: n = 3 formulas" in fronts and "no unit" in fronts
    assert "interpolation n = 400; wide n = 400" in sets and "units of the data" in sets
    assert "n = 2 starts of 4 particles" in curves and "without a unit" in curves


def test_captions_of_a_fluid_count_runs_and_name_units():
    models = {"truth": {"n": 6}, "law": {"n": 5}, "gnn": {"mean": None}}  # every run of the network blew up
    said = section.of_structure({"g_r": {"models": models, "reference": {"n": 8}}})
    assert "truth n = 6, law n = 5, network n = 0" in said and "n = 8 runs" in said and "r in A" in said
    still = {"time_ps": 20.0, "models": {k: {"n": 3} for k in section.NAMES}}
    assert section.of_energy(still).endswith("20 ps; runs: truth n = 3, law n = 3, network n = 3.")


def test_a_caption_has_to_be_given():
    with pytest.raises(TypeError):
        page.image(drawn(), "alt")
    html = page.image(drawn(), "alt", "n = 5 things")
    assert "<figcaption>n&nbsp;=&nbsp;5 things</figcaption>" in html


def rules(css: str) -> dict[str, str]:
    """Selector -> declarations, of the rules in one block."""
    out = {}
    for selectors, declared in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        for one in selectors.split(","):
            out[one.strip()] = out.get(one.strip(), "") + declared
    return out


def print_rules() -> dict[str, str]:
    return rules(page.STYLE.split("@media print {", 1)[1].rsplit("}", 1)[0])


def test_a_print_is_dark_on_white_whatever_the_screen_is():
    on_paper, dark = print_rules()[":root"], page.STYLE.split("prefers-color-scheme: dark) {", 1)[1].split("}", 1)[0]
    names = set(re.findall(r"(--\w+):", dark)) - {"--shade"}  # of scrolled tables, which paper has not
    assert len(names) > 5 and names == set(re.findall(r"(--\w+):", on_paper))
    assert "--page: #fff" in on_paper and "--card: #fff" in on_paper and "--ink: #000" in on_paper
    assert page.STYLE.index("prefers-color-scheme: dark") < page.STYLE.index("@media print")  # the later one holds


def test_nothing_is_cut_on_paper():
    found = print_rules()
    for whole in ("figure", ".law", "tr", "pre"):
        assert "break-inside: avoid" in found[whole], whole
    for shown in (".scroll", ".law .big", "pre"):
        assert "overflow: visible" in found[shown], shown
    assert "table-header-group" in found["thead"] and "max-height" in found["img"]
    assert "underline" in found["a"] and "content-visibility: visible" in found["details::details-content"]
