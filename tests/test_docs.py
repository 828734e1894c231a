"""README.md and docs/: what they say of numbers, files, commands and modules is so."""

import inspect
import re
from functools import cache

import page_parts
import pages
import pytest
from scripts import ROOT, ok, run
from test_house import ORDER

import distill
from distill.pipeline.runs import demo
from distill.shell import paths
from distill.shell.errors import UserError

TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in pages.PAGES}
SCRIPTS = ("simulate", "import_tracks", "learn_properties", "look", "train", "extract_messages")
SCRIPTS += ("fit_linear", "symbolic_reg", "test_generalization")
# a number that looks measured: with a unit of time, memory or speed, or so many of so many
MEASURED = re.compile(r"\b\d[\d.,]*\s?(?:CPU-s|CPU-h|s|ms|minutes|MB|GB|graphs/s|times as fast)\b|\b\d+/\d+\b(?!/)")


@pytest.mark.parametrize("page", TEXTS)
def test_every_number_between_marks_is_what_the_results_say(page):
    assert pages.filled(TEXTS[page], page) == TEXTS[page], "run  python experiments/pages.py"


@pytest.mark.parametrize("page", [p for p, text in TEXTS.items() if pages.MARK.search(text)])
def test_an_edit_by_hand_between_marks_is_found(page):
    """A digit planted in every part in turn, in a copy."""
    text = TEXTS[page]
    for found in [*pages.BLOCK.finditer(text), *pages.NUMBER.finditer(text)]:
        inside = slice(found.end(found.lastindex - 2), found.start(found.lastindex))
        digit = re.search(r"\d", text[inside])
        if digit:
            at = inside.start + digit.start()
            edited = text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]
            assert pages.filled(edited, page) == text != edited


def outside_of_marks(text: str) -> str:
    """The page without generated parts, code and links."""
    for pattern in (pages.BLOCK, pages.NUMBER, re.compile(r"```.*?```", re.DOTALL), re.compile(r"`[^`]*`")):
        text = pattern.sub("", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


@pytest.mark.parametrize("page", TEXTS)
def test_no_measured_number_stands_outside_of_marks(page):
    assert not MEASURED.findall(outside_of_marks(TEXTS[page]))


@pytest.mark.parametrize("planted", ["took 117 s", "54/72 of them", "at 3.8 GB", "105 CPU-s", "2,000 graphs/s"])
def test_a_planted_number_is_seen(planted):
    assert MEASURED.search(outside_of_marks(f"It {planted}."))


def test_every_part_is_in_some_page_and_only_there():
    used = [found.group(2) for text in TEXTS.values() for found in pages.BLOCK.finditer(text)]
    assert sorted(used) == sorted(page_parts.PARTS)


@pytest.mark.parametrize(
    "text, said",
    [
        ("<!-- nonsense: written by experiments/pages.py -->\n<!-- nonsense: end -->", "no part 'nonsense'"),
        ("<!-- demo: written by experiments/pages.py -->\n", "has no end"),
        ("<!-- demo: end -->", "no start"),
        ("<!-- = demo seconds .0f -->1", "has no end"),
        ("<!-- = demo second .0f -->1<!-- /= -->", "holds no second"),
    ],
)
def test_marks_that_nothing_fills_are_refused(text, said):
    with pytest.raises(UserError, match=said):
        pages.filled(text)


def test_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 180


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    folder = (ROOT / page).parent
    for link in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (folder / path) if path else ROOT / page
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", t).lower().replace(" ", "-") for t in titles], link


def test_every_figure_is_shown():
    shown = {link for text in TEXTS.values() for link in re.findall(r"!\[[^]]*\]\((?:docs/)?([^)]+)\)", text)}
    assert shown == {p.name for p in (ROOT / "docs").glob("*.png")}


@pytest.mark.parametrize("page", TEXTS)
def test_files_of_the_repository_that_are_named_exist(page):
    """In code spans, commands and links, but for those that an example would make."""
    named = set(re.findall(r"(?<![\w./])(?:distill|experiments|benchmarks|tests|results)/[\w./-]*\w", TEXTS[page]))
    made = {name for row in page_parts.results("extending")["rows"] for name in row["new"]}
    assert not [name for name in named - made if not (ROOT / name).exists()]


@cache
def flags_of(script: str) -> set[str]:
    return set(re.findall(r"--[\w-]+", ok(run(ROOT, script, "--help"))))


@pytest.mark.parametrize("page", TEXTS)
def test_flags_of_the_scripts_exist(page):
    """Of every command on a page, and every flag that a page names anywhere."""
    for script, words in re.findall(rf"\b((?:{'|'.join(SCRIPTS)})\.py)( [^`\n#]*)", TEXTS[page]):
        assert set(re.findall(r"(?<=\s)--[\w-]+", words)) <= flags_of(script), f"{script}{words}"
    known = {flag for script in SCRIPTS for flag in flags_of(f"{script}.py")} | {"--extra-index-url"}
    sources = [
        p.read_text(encoding="utf-8")
        for folder in ("benchmarks", "experiments")
        for p in ROOT.glob(f"{folder}/**/*.py")
    ]
    told = set(re.findall(r"(?<=[\s`])--[a-z][\w-]+", pages.BLOCK.sub("", TEXTS[page])))
    assert not [flag for flag in told - known if not any(f'"{flag}"' in source for source in sources)]


def test_the_table_of_folders_is_that_of_the_package():
    folders = {f"distill/{p.name}/" for p in (ROOT / "distill").iterdir() if (p / "__init__.py").is_file()}
    rows = re.findall(r"^\| `distill/\w+/`.*? \|", TEXTS["README.md"], re.MULTILINE)
    told = re.findall(r"`(distill/\w+/)`", " ".join(rows))
    assert sorted(folders) == sorted(told) and told == [f"distill/{name}/" for name in ORDER]


def test_help_of_train_names_every_option():
    told = set(inspect.getdoc(distill.train).split()) | inspect.signature(distill.train).parameters.keys()
    flags = {flag[2:].replace("-", "_") for flag in flags_of("train.py") if not flag.startswith("--no-")}
    assert flags - told == {"help"}


def test_the_demo_told_is_the_demo_of_the_makefile(tmp_path, monkeypatch):
    """The commands whose last lines are shown are those that ``make demo`` runs by default."""
    monkeypatch.setattr(paths, "MODEL_WEIGHTS", tmp_path)
    steps, commands = page_parts.results("demo")["steps"], demo.commands(demo.parse([]))
    assert [step["command"] for step in steps] == [" ".join(["python", *words]) for words in commands]
    for step, (script, *_) in zip(steps, commands, strict=True):
        assert {line.split()[0] for line in step["last_lines"]} == {script.removesuffix(".py")}
