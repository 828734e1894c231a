"""The commands that the report tells of a run can be pasted into a shell."""

import importlib
import shlex

import pytest

from distill.report import provenance

GIVEN = {  # script -> flags away from their defaults
    "simulate": ["--system", "r2", "--n", "4", "--quick", "--tag", "a b"],
    "train": ["--dataset", "my data/x.npz", "--no-antisymmetric", "--exp-gate", "--lr", "0.01", "--no-capture"],
    "extract_messages": ["--run", "x", "--split", "train", "test", "--max-graphs", "5"],
    "fit_linear": ["--run", "x; rm -rf y"],
    "symbolic_reg": ["--run", "x", "--operators", "+", "-", "*", "--no-guesses", "--sr-on-inputs", "--raw-inputs"],
    "test_generalization": ["--run", "x", "--rollouts", "0"],
}


@pytest.mark.parametrize("script", GIVEN)
@pytest.mark.parametrize("given", [True, False])
def test_the_command_told_is_the_command_given(script, given):
    """Pasted into a shell, it gives the flags that were given, to the parser of the script itself."""
    module = importlib.import_module(script)
    parse = module.parse if hasattr(module, "parse") else module.parser().parse_args
    argv = GIVEN[script] if given else GIVEN[script][: 4 if script == "simulate" else 2]
    arguments = vars(parse(argv))
    told = provenance.command(f"{script}.py", arguments | {"options": {"a": 1}, "frames_sha256": "0"})
    python, name, *words = shlex.split(told)
    assert (python, name) == ("python", f"{script}.py") and vars(parse(words)) == arguments


def test_a_command_leaves_out_what_is_about_one_call():
    given = {"run": "x", "split": ["train", "test"], "quick": True, "overwrite": True, "resume": True, "hidden": None}
    assert provenance.command("s.py", given) == "python s.py --run x --split train test --quick"


def test_the_command_of_a_search_can_be_repeated():
    """Its flags exist, and a shell leaves the operators alone."""
    import shlex

    import symbolic_reg
    from distill.report.provenance import command

    for more in ([], ["--sr-on-inputs", "--raw-inputs", "--no-guesses", "--no-deterministic"]):
        words = ["--run", "x", "--operators", "+", "*", "pow", *more]
        line = command("symbolic_reg.py", vars(symbolic_reg.parse(words)))
        assert "'*'" in line and symbolic_reg.parse(shlex.split(line)[2:]) == symbolic_reg.parse(words)
