"""Files that somebody else made: fronts in PySR's dialects, messages without their network, and that none is lost."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scripts import ROOT, environment

import distill
from distill.files import names
from distill.files.dataset import load_dataset
from distill.files.messages import NEEDED, load_made_elsewhere, refuse_foreign
from distill.search.engine import SearchOptions
from distill.search.given import find, mapping, read_front, with_values
from distill.shell import paths
from distill.shell.errors import UserError

VARIABLES = ("r", "m_i", "m_j", "q_i", "q_j")
LAW = "-m_i*m_j/(r+0.01)^2"


def front(tmp_path, text, *arguments, name="front.csv", **more):
    (tmp_path / name).write_text(text)
    return [row.equation for row in read_front(tmp_path / name, VARIABLES, *arguments, **more)]


# ---------------------------------------------------------------- fronts


@pytest.mark.parametrize(
    "text, last",
    [
        ("Complexity|MSE|Equation\n1|0.6|-0.12\n5|0.03|mult(m_i, div(m_j, plus(r, 1.5)))\n", "mult(m_i, div(m_j, plus"),
        ("Complexity|Loss|Equation\n5|0.03|sub(m_i, pow(r, 2))\n", "sub(m_i, pow(r, 2))"),
        ('Complexity,Loss,Equation\n2,0.6,"tan(r)"\n3,0.5,"sinh(asin(r))"\n', "sinh(asin(r))"),
        ('Complexity,Loss,Equation\n3,0.6,"max(r, m_i) * min(1.5f-1, r)"\n', "max(r, m_i) * min(1.5f-1, r)"),
        (",complexity,loss,equation,score,sympy_format\n0,5,0.03,(m_i * m_j) / r,1.5,m_i*m_j/r\n", "(m_i * m_j) / r"),
        ("equation\nmax(r, m_i)\n", "max(r, m_i)"),  # not quoted
        ("\ufeffComplexity;Loss;Equation\r\n1;0.5;r / m_i\r\n", "r / m_i"),
    ],
    ids=("pipe and MSE", "pipe and Loss", "trigonometry", "max and min", "DataFrame", "bare", "semicolons"),
)
def test_dialects(tmp_path, capsys, text, last):
    assert front(tmp_path, text)[-1].startswith(last)
    assert not capsys.readouterr().err


def test_rows_that_cannot_be_read_are_counted_and_the_rest_is_used(tmp_path, capsys):
    rows = ["1,NaN,r", '3,0.5,"r / 0.0"', '3,0.4,"yukawa(r)"', '4,0.4,"m_i * yukawa(r)"', '4,0.4,"2.0 * m_k"', "9"]
    text = "Complexity,Loss,Equation\n" + "\n".join([*rows, '5,0.03,"(m_i * m_j) / r"', '6,0.02,"m_i * (r']) + "\n"
    assert front(tmp_path, text) == ["(m_i * m_j) / r"]
    told = capsys.readouterr().err
    assert "7 of 8 formulas left out: rows 4, 5: unknown function 'yukawa'" in told and "NaN" in told
    assert told.count("\n") == 1 and "and 3 more" in told and str(tmp_path) in told


def test_names_of_the_file_become_ours(tmp_path):
    text = 'Complexity,Loss,Equation\n5,0.1,"x0 * (x1 / square(x2))"\n'
    assert front(tmp_path, text, ("m_i", "m_j", "r")) == ["m_i * m_j / r^2"]
    assert front(tmp_path, text, ("x2=r", "x0=m_j", "x1=m_i")) == ["m_i * m_j / r^2"]
    swapped = 'Complexity,Loss,Equation\n5,0.1,"m_i / m_j"\n'
    assert front(tmp_path, swapped, ("m_i=m_j", "m_j=m_i")) == ["m_j / m_i"]
    template = 'Complexity,Loss,Equation\n5,0.1,"f = #1 * 2.0 / #2; p = [0.5]"\n'
    assert front(tmp_path, template, ("m_i", "r")) == ["2.0 * m_i / r"]
    with pytest.raises(UserError, match="'x0'.*--names x0=r"):
        front(tmp_path, text)
    with pytest.raises(UserError, match="#1 stands for an argument"):
        front(tmp_path, template)
    for given, why in ((("mi",), "did you mean 'm_i'"), (("r", "x0=r"), "no new name"), (("1x=r",), "no new name")):
        with pytest.raises(UserError, match=why):
            mapping(given, VARIABLES)


@pytest.mark.parametrize(
    "name, text, why",
    [
        ("front.csv", "a,b\n1,2\n", "no column Equation.*found 'a', 'b'; give PySR's"),
        ("front.csv", "", "found nothing"),
        ("front.csv", "Equation\n", "0 formulas"),
        ("front.csv", "Equation\n2.5\n", "they are constants"),
        ("checkpoint.pkl", "x", "is a pickle.*give the hall_of_fame.csv"),
        ("front.csv", 'Complexity,Loss,Equation\n1,1,"f = #1; g = #2"\n', "front.csv.*2 sub-expressions"),
    ],
)
def test_what_is_no_front_is_named(tmp_path, name, text, why):
    with pytest.raises(UserError, match=why) as caught:
        front(tmp_path, text, ("r", "m_i"), name=name)
    assert name in str(caught.value)


def test_a_folder_of_pysr_is_its_only_front(tmp_path):
    (tmp_path / "hall_of_fame.csv").write_text("Equation\nr\n")
    assert [row.equation for row in read_front(tmp_path, VARIABLES)] == ["r"]
    (tmp_path / "hall_of_fame_output2.csv").write_text("Equation\nr\n")
    with pytest.raises(UserError, match="hall_of_fame.csv, hall_of_fame_output2.csv; give one"):
        read_front(tmp_path, VARIABLES)


def test_formulas_are_given_as_an_engine_finds_them(tmp_path, capsys):
    (tmp_path / "f.csv").write_text("Equation\nm_i * q_j / (r + 1.5)\nr^r^r + exp(r)*m_i*m_j/(r + m_i)\n1 / q_j\n")
    rows = read_front(tmp_path / "f.csv", VARIABLES, most=12)
    assert len(rows) == 2 and "more than 12 nodes" in capsys.readouterr().err
    formulas = with_values(rows, {"q_j": 0.0, "m_i": 2.0})  # the same everywhere: 1/0 is none
    found, info = find(None, None, ["r", "m_j"], SearchOptions(engine="file", formulas=formulas))
    assert [str(e) for e in found] == ["0"] and info == {"given": 1}
    assert SearchOptions().identity() == {k: v for k, v in SearchOptions(engine="file").identity().items()} | {
        "engine": "operon"
    }
    assert SearchOptions(engine="file", formulas=formulas).identity()["formulas"] == list(formulas)
    assert SearchOptions(evaluations=9).identity()["evaluations"] == 9


# ---------------------------------------------------------------- messages


def messages(graphs=60, n=4, seed=3) -> dict:
    """Messages of nobody's network: two components, gravity turned and stretched."""
    rng = np.random.default_rng(seed)
    pos, vel, mass = (
        rng.normal(size=(graphs, n, 2)),
        rng.normal(size=(graphs, n, 2)),
        np.exp(rng.normal(size=(graphs, n))),
    )
    i, j = np.nonzero(~np.eye(n, dtype=bool))
    dx = pos[:, i] - pos[:, j]
    r = np.linalg.norm(dx, axis=-1)
    force = -(mass[:, i] * mass[:, j] / (r + 0.01) ** 2 / r)[..., None] * dx
    acc = np.stack([force[:, i == k].sum(1) / mass[:, k, None] for k in range(n)], 1)
    edges = {"message": force @ np.array([[1.6, -1.2], [1.2, 1.6]]), "dx": dx, "r": r, "force": force}
    edges |= {"receiver": np.tile(i, (graphs, 1)), "sender": np.tile(j, (graphs, 1)), "frame": np.zeros_like(r, int)}
    edges |= {"trajectory": np.arange(graphs)[:, None] + np.zeros_like(r, int), "acc_i": acc[:, i]}
    edges |= {
        "acc_pred_i": acc[:, i],
        "vel_i": vel[:, i],
        "vel_j": vel[:, j],
        "mass_i": mass[:, i],
        "mass_j": mass[:, j],
    }
    return {k: v.reshape(graphs * len(i), *v.shape[2:]) for k, v in edges.items()}


def written(tmp_path, **changed):
    arrays = {k: v for k, v in (messages() | changed).items() if v is not None}
    path = tmp_path / "theirs.npz"
    np.savez(path, **arrays)
    return path


def test_what_messages_lack_is_filled_in_and_said(tmp_path, capsys):
    whole = messages()
    path = tmp_path / "theirs.npz"
    np.savez(path, **{k: whole[k] for k in NEEDED})
    arrays, meta = load_made_elsewhere(path, "theirs")
    told = capsys.readouterr().err
    assert "theirs.npz: equal masses, no charges, velocities zero are taken" in told and told.count("\n") == 1
    assert (arrays["mass_i"] == 1).all() and (arrays["charge_j"] == 0).all() and not arrays["vel_i"].any()
    assert np.allclose(arrays["r"], whole["r"]) and "acc_pred_i" not in arrays and arrays["active"].tolist() == [1, 1]
    assert (meta.run, meta.graphs, meta.edges, meta.n, meta.dim) == ("theirs", 60, 720, 4, 2) and meta.antisymmetric
    path = written(tmp_path, message=whole["message"] + 1.0)
    assert not load_made_elsewhere(path, "theirs")[1].antisymmetric


@pytest.mark.parametrize(
    "changed, why",
    [
        ({"acc_i": None}, "lacks acc_i.*docs/formats.md"),
        ({"r": np.ones(720)}, "'r' is not the length of 'dx'; correct it"),
        ({"sender": messages()["receiver"]}, "720 edges lead from a particle to itself"),
        ({"frame": np.full(720, -1)}, "'frame' holds -1, expected numbers from 0"),
        ({"mass_i": np.zeros(720)}, "not positive"),
        ({"message": np.full((720, 2), np.nan)}, "1440 NaN"),
        ({"spin_i": np.ones(3), "spin_j": np.ones(720)}, "'spin_i' has 3 along 'edge'"),
        ({"message": np.zeros(720)}, "expected 2 axes"),
    ],
)
def test_messages_that_make_no_sense_name_the_file(tmp_path, changed, why):
    path = written(tmp_path, **changed)
    with pytest.raises(UserError, match=why) as caught:
        load_made_elsewhere(path, "theirs")
    assert "theirs.npz" in str(caught.value)


def test_messages_are_called_as_their_file_or_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "MODEL_WEIGHTS", tmp_path / "model_weights")
    assert names.name_of_messages("some/theirs.npz") == "theirs"
    assert (
        names.name_of_messages("some/theirs/messages_train.npz")
        == "theirs"
        == names.name_of_messages("a b.npz", "theirs")
    )
    with pytest.raises(UserError, match="--name"):
        names.name_of_messages("a b.npz")
    (tmp_path / "model_weights" / "theirs").mkdir(parents=True)
    (tmp_path / "model_weights" / "theirs" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="is a trained run.*another --name.*--run theirs"):
        names.name_of_messages("theirs.npz")


def test_messages_without_a_network_give_fit_and_law(tmp_path, monkeypatch, capsys):
    """The law from a front that PySR wrote, on messages that no run here sent; nothing of either is touched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setattr(paths, "MODEL_WEIGHTS", tmp_path / "model_weights")
    written(tmp_path, acc_pred_i=None)
    hall = tmp_path / "outputs" / "theirs" / "symbolic" / "radial" / "hall_of_fame.csv"
    hall.parent.mkdir(parents=True)
    hall.write_text("Complexity|MSE|Equation\n5|0.4|div(mult(x1, -0.4), x0)\n9|0|mult(x1, x2)*-0.9/square(x0+0.02)\n")
    assert distill.fit_linear(messages="theirs.npz").numbers["r2_all"] > 0.9999
    assert "'acc_pred_i'" in capsys.readouterr().err

    def search(path, **more):
        given = {"messages": "theirs.npz", "names": ["r", "m_i", "m_j"], "rivals": (), "quick": True}
        return distill.search_law(hall_of_fame=path, **given | more)

    with pytest.raises(UserError, match="lies where this stage writes its own; move it elsewhere"):
        search(hall, overwrite=True)
    shutil.copy(hall, "theirs.csv")
    before = [Path(name).read_bytes() for name in ("theirs.npz", "theirs.csv", hall)]
    with pytest.raises(UserError, match="not written here: no front.json lies beside it; add --overwrite"):
        search("theirs.csv")
    assert [Path(name).read_bytes() for name in ("theirs.npz", "theirs.csv", hall)] == before
    hall.unlink()
    done = search("theirs.csv").numbers
    assert done["law"] == "f = -m_i*m_j/(r+0.01)^2" and done["force_r2"] > 0.9999 and done["trusted"]
    assert search("theirs.csv").before and Path("theirs.csv").read_bytes() == before[1]
    law = json.loads(Path("outputs/theirs/law.json").read_text())
    assert law["engine"] == "file" and law["acceleration_error"]["gnn"] is None
    page = Path("outputs/theirs/report.html").read_text()
    assert "formulas of theirs.csv" in page and "could not be shown" not in page
    assert "python symbolic_reg.py --messages theirs.npz --name theirs" in page
    with pytest.raises(UserError, match="law of messages, theirs.npz, without a network"):
        distill.compare("theirs")
    for flags, why in (({"engine": "operon"}, "--engine asks"), ({"names": ["mi"]}, "did you mean 'm_i'")):
        with pytest.raises(UserError, match=why):
            search("theirs.csv", **flags)
    for flags, why in (({"rivals": ("untrained",)}, "the network itself"), ({"targets": ("node",)}, "needs positions")):
        with pytest.raises(UserError, match=why):
            distill.search_law(messages="theirs.npz", **flags)


# ---------------------------------------------------------------- names and places


@pytest.mark.parametrize("script, lines", [("train.py", 2), ("sub/train.py", None)])
def test_ctrl_c_while_a_script_imports_is_one_line(script, lines):
    """Only of the scripts beside the package: a program that imports it keeps its own tracebacks."""
    code = f"import sys; sys.argv[0] = {str(ROOT / script)!r}; import distill; raise KeyboardInterrupt"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(None))
    assert told.returncode != 0 and ("Traceback" in told.stderr) == (lines is None)
    assert lines is None or told.stderr.splitlines() == ["", "interrupted before it began"]


def test_what_is_no_run_or_dataset_says_what_to_do_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights, theirs = tmp_path / "model_weights", tmp_path / "model_weights" / "theirs"
    for name in ("MODEL_WEIGHTS", "OUTPUTS", "DATASETS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    theirs.mkdir(parents=True)
    (theirs / "net.pth").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"no config.json.*\(net.pth\) cannot be read; train here.*--messages FILE"):
        names.run_dir("theirs")
    with pytest.raises(UserError, match="net.pth is a file.*cannot be read; train here"):
        names.run_name_of("model_weights/theirs/net.pth")
    other = tmp_path / "elsewhere" / "run"
    other.mkdir(parents=True)
    (other / "config.json").write_text("{}")
    with pytest.raises(UserError, match="not the name of a run.*DISTILL_MODEL_WEIGHTS=.*elsewhere"):
        names.run_name_of(str(other))
    for given in (f"{weights}/theirs", "model_weights/theirs/", "outputs/theirs", "theirs", "./theirs"):
        assert names.run_name_of(given) == "theirs"
    (tmp_path / "outputs" / "sent").mkdir(parents=True)
    np.savez(tmp_path / "outputs" / "sent" / "messages_train.npz", r=np.ones(3))
    with pytest.raises(UserError, match="--messages outputs/sent/messages_train.npz"):
        names.run_dir("sent")
    with pytest.raises(UserError, match="no messages_train.json beside it.*--messages outputs/sent.*; or add --over"):
        refuse_foreign(tmp_path / "outputs" / "sent" / "messages_train.npz", "add --overwrite to replace it")
    (tmp_path / "x.csv").write_text("t,x,y\n")
    for given in ("x.csv", "./x.csv"):
        with pytest.raises(UserError, match="x.csv is no dataset.*import it first: *python import_tracks.py") as caught:
            load_dataset(given)
        assert caught.value.fix.endswith(given)
    with pytest.raises(UserError, match="y.csv does not exist"):
        load_dataset("y.csv")


@pytest.mark.parametrize("tag", ["..", "-x", ".hidden", "a b"])
def test_tags_that_would_be_taken_for_something_else(tag):
    for name in (lambda: names.dataset_name("r2", 4, 2, 0, tag), lambda: names.run_name("x", "l1", "newton", 0, tag)):
        with pytest.raises(UserError, match="choose another --tag"):
            name()


def test_a_dataset_of_others_is_never_to_be_made_again_here(tmp_path, capsys):
    rng = np.random.default_rng(0)
    arrays = {k: rng.normal(size=(3, 5, 2, 2)) for k in ("pos", "vel", "acc")} | {"mass": np.ones((3, 2))}
    path = tmp_path / "theirs.npz"
    np.savez(path, **arrays, spin=np.ones((3, 5, 2)), label=np.array(["a", "b"]))
    load_dataset(str(path))
    told = capsys.readouterr().err
    assert "'spin' [3, 5, 2] (float64), 'label' [2] (<U1) left out" in told and "here [3, 2]" in told
    path.with_suffix(".json").write_text('{"made by": "me"}')
    for changed in ({"mass": -np.ones((3, 2))}, {"pos": np.ones((3, 5, 1, 2))}, {"split": np.array([0, 1, 7])}):
        np.savez(path, **(arrays | changed))
        with pytest.raises(UserError, match="theirs.npz.*docs/formats.md.*import_tracks.py") as caught:
            load_dataset(str(path))
        assert "overwrite" not in str(caught.value)


def test_what_data_cannot_tell_is_said_of_their_file(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setattr(paths, "MODEL_WEIGHTS", tmp_path / "model_weights")
    rng = np.random.default_rng(0)
    arrays = {"pos": rng.normal(size=(8, 20, 3, 2)), "vel": np.zeros((8, 20, 3, 2)), "acc": np.zeros((8, 20, 3, 2))}
    np.savez(tmp_path / "theirs.npz", **arrays, mass=np.ones((8, 3)))
    with pytest.raises(UserError, match="theirs.npz: all accelerations are zero.*; a law needs enough frames"):
        distill.search_law(dataset=str(tmp_path / "theirs.npz"), engine="operon")
    np.savez(tmp_path / "theirs.npz", **arrays, mass=np.ones((8, 3)), split=np.ones(8, int))
    with pytest.raises(UserError, match="theirs.npz has no trajectory in its train split; give some the number 0"):
        distill.search_law(dataset=str(tmp_path / "theirs.npz"), engine="operon")
