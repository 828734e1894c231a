"""Building blocks of a self-contained HTML page: formulas as inline SVG, images inlined, tables, the style.

Everything taken from files goes through ``text`` (escaped); only the functions here return HTML.
"""

import base64
import html
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from distill.report import words
from distill.report.plots import SHOWN, width_of
from distill.report.words import sentence
from distill.shell.errors import UserError


def text(value) -> str:
    """``value`` escaped for HTML."""
    return html.escape(str(value), quote=True)


def shown(value, digits: int = 3) -> str:
    """As in ``words``, escaped."""
    return text(words.shown(value, digits))


def percent(value) -> str:
    return text(words.percent(value))


def r2(value) -> str:
    return text(words.r2_text(value))


def code(value) -> str:
    return f"<code>{text(value)}</code>"


# ---------------------------------------------------------------- formulas


def formula(latex: str, size: float = 20.0, plain: str = "", limit: float = 760.0) -> str:
    """LaTeX (matplotlib's mathtext, Computer Modern) as an inline SVG in the colour of the text.

    ``size`` in CSS pixels; ``plain`` is the text alternative. A formula wider than ``limit`` pixels is set
    smaller, down to 60 %. What mathtext cannot set is shown as code.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    try:
        font = FontProperties(math_fontfamily="cm")
        path = TextPath((0, 0), f"${display_fractions(latex)}$", size=size, prop=font)
    except (ValueError, RuntimeError, RecursionError):
        return code(plain or latex)
    if not len(path.vertices):
        return code(plain or latex)
    box = path.get_extents()
    pad = 0.06 * size
    # SVG's y axis points down.
    left, top = box.x0 - pad, -box.y1 - pad
    width, height = box.width + 2 * pad, box.height + 2 * pad
    label, shrink = text(plain or latex), max(0.6, min(1.0, limit / width))
    return (
        f'<svg class="formula" role="img" aria-label="{label}" viewBox="{left:.2f} {top:.2f} {width:.2f} {height:.2f}"'
        f' width="{shrink * width:.1f}" style="vertical-align:{shrink * (box.y0 - pad):.1f}px"><title>{label}</title>'
        f'<path d="{_path_data(path)}"/></svg>'
    )


def display_fractions(latex: str) -> str:
    """Outermost fractions in display size, as in a displayed equation; nested ones stay small."""
    latex = re.sub(r"(\\sum_[a-z])\s+", r"\1\\,\\,", latex)  # mathtext leaves no room after the index
    out, depth, inside = [], 0, []
    for part in re.split(r"(\\frac(?![A-Za-z])|\\[{}]|[{}])", latex):
        if part == r"\frac":
            out.append(r"\frac" if inside else r"\dfrac")
            inside.append([depth, 2])  # two groups follow at this depth
            continue
        if part == "{":
            depth += 1
        elif part == "}":
            depth -= 1
            if inside and inside[-1][0] == depth:
                inside[-1][1] -= 1
                if not inside[-1][1]:
                    inside.pop()
        out.append(part)
    return "".join(out)


def _path_data(path) -> str:
    letters = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
    parts = []
    for points, kind in path.iter_segments(curves=True, simplify=False):
        if kind == 79:
            parts.append("Z")
            continue
        pairs = np.asarray(points).reshape(-1, 2)
        parts.append(letters[int(kind)] + " ".join(f"{x:.2f} {-y:.2f}" for x, y in pairs))
    return "".join(parts)


# ---------------------------------------------------------------- images, tables, blocks


def image(content: bytes | Path, alt: str, caption: str) -> str:
    """A PNG inlined in a figure; nothing if ``content`` is the path of a file that is not there. ``caption``, HTML:
    what is shown, of how many, in which units.
    """
    if isinstance(content, Path):
        if not content.is_file():
            return ""
        content = content.read_bytes()
    data = base64.b64encode(content).decode()
    width = round(width_of(content) * SHOWN)
    below = f"<figcaption>{whole_numbers(caption)}</figcaption>"
    return f'<figure><img alt="{text(alt)}" width="{width}" src="data:image/png;base64,{data}">{below}</figure>'


def whole_numbers(said: str) -> str:
    """``n = 400`` of a text on one line."""
    return said.replace("n = ", "n&nbsp;=&nbsp;")


def table(header, rows: list[list], caption: str = "", marked: int | None = None, groups=()) -> str:
    """Cells that are strings are HTML already; numbers are formatted. ``groups``: (title, columns) above."""

    def cell(value, tag="td"):
        number = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        content = shown(value) if number else value
        scope = ' scope="row"' if tag == "th" else ""
        return f"<{tag}{scope}{' class=number' if number else ''}>{content}</{tag}>"

    body = "".join(
        f"<tr{' class=marked' if k == marked else ''}>{cell(row[0], 'th')}{''.join(map(cell, row[1:]))}</tr>"
        for k, row in enumerate(rows)
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in header)
    over = "".join(
        f'<th colspan="{span}">{title}</th>' if title else f'<td colspan="{span}"></td>' for title, span in groups
    )
    over = f"<tr class=groups>{over}</tr>" if over else ""
    head = f"<thead>{over}<tr>{head}</tr></thead>" if header else ""
    about = f"<caption>{caption}</caption>" if caption else ""
    return f'<div class="scroll"><table>{about}{head}<tbody>{body}</tbody></table></div>'


def section(number: int, title: str, body: str) -> str:
    return f'<section id="s{number}"><h2><span>{number}</span>{text(title)}</h2>{body}</section>'


def missing(what: str, command: str) -> str:
    return f'<p class="missing">{text(what)} To make it:<br>{code(command)}</p>'


def guarded(function, m) -> str:
    """What ``function`` makes of the material ``m``, or why it cannot: a file edited by hand or of another
    version must not cost the rest of the page."""
    try:
        return function(m)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, UserError) as exc:
        return f'<p class="missing">This part could not be shown: {text(type(exc).__name__)}: {text(exc)}</p>'


def details(summary: str, body: str) -> str:
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def card(kind: str, name: str, facts: Mapping[str, str], above: str = "") -> str:
    """A result in a notebook, whose style is not ours: ``facts`` are plain text by label, escaped here; ``above`` is
    HTML.
    """
    left = "text-align: left; vertical-align: top"
    rows = "".join(
        f'<tr><th scope="row" style="{left}; white-space: nowrap">{text(label)}</th>'
        f'<td style="{left}; overflow-wrap: anywhere">{text(told)}</td></tr>'
        for label, told in facts.items()
    )
    head = f"<p><strong>{text(sentence(kind))}</strong> {code(name)}</p>"
    return f'<div style="fill: currentColor; max-width: 60em">{head}{above}<table><tbody>{rows}</tbody></table></div>'


def page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


STYLE = """
:root { --ink: #1b2a41; --soft: #55647a; --line: #dfe4ea; --page: #f5f6f8; --card: #fff; --accent: #2e86ab;
  --good: #1d7a4f; --bad: #b3364a; --open: #8a6d1b; --mark: #eef6fa;
  --shade: rgb(27 42 65 / 30%); }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #9fadc0; --line: #323d4d; --page: #12171f;
  --card: #1a212c; --accent: #6db8d6; --good: #5fc596; --bad: #ef8496; --open: #dcc069; --mark: #1f3140;
  --shade: rgb(0 0 0 / 70%); } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 24px 20px 60px; }
header, section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 28px 32px;
  margin-bottom: 18px; }
header { border-top: 4px solid var(--accent); }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 4px 0 6px; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 12px; display: flex; gap: 12px; align-items: baseline; }
h2 span { color: var(--accent); font-variant-numeric: tabular-nums; }
h3 { font-size: .95rem; margin: 26px 0 8px; }
p { margin: 0 0 12px; } .lead { color: var(--soft); max-width: 68ch; }
.kicker { color: var(--soft); font-size: .85rem; margin: 0; overflow-wrap: anywhere; }
.answer { font-size: 1.12rem; line-height: 1.45; margin: 10px 0 12px; max-width: 80ch; }
.badge { display: inline-block; padding: 3px 12px; border-radius: 99px; font-size: .82rem; font-weight: 600;
  border: 1.5px solid currentColor; margin: 0 8px 0 0; }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--open); }
.laws { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(270px, 100%), 1fr)); gap: 14px; }
.law { border: 1px solid var(--line); border-radius: 10px; padding: 14px 18px 12px; min-width: 0;
  overflow-wrap: anywhere; }
.law.found { background: var(--mark); border-color: transparent; }
.law h3 { margin: 0 0 10px; color: var(--soft); font-weight: 600; font-size: .85rem; }
.law .big { min-height: 60px; display: flex; align-items: center; overflow-x: auto; }
.law code { font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(280px, 100%), 1fr)); gap: 6px 28px; }
.ask { min-width: 0; border-top: 2px solid var(--line); padding-top: 12px; margin-top: 14px; }
.ask h2 { font-size: 1.02rem; margin: 0 0 8px; }
.ask ul { margin: 10px 0 0; padding: 0; list-style: none; font-size: .88rem; line-height: 1.45; }
.ask li { margin: 0 0 7px; overflow-wrap: anywhere; } .ask li.missing { padding: 0 0 0 10px; }
svg.formula { fill: currentColor; max-width: 100%; height: auto; overflow: visible; }
.laws.long { grid-template-columns: 1fr; }
figure { margin: 16px 0; background: #fff; border-radius: 8px; padding: 12px; border: 1px solid var(--line); }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { color: #55647a; font-size: .84rem; margin-top: 8px; line-height: 1.45; }
.scroll { overflow-x: auto; margin: 14px 0; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .84rem; padding: 0 0 8px; }
th, td { text-align: left; padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; border-bottom-width: 2px; vertical-align: bottom; }
thead tr.groups > * { border-bottom: 0; padding-bottom: 0; }
tbody th { font-weight: 500; } td.number, th.number, .line { white-space: nowrap; }
tr.marked > * { background: var(--mark); font-weight: 600; } tr.marked > th { padding-left: 8px; }
tr.marked .note { font-weight: 400; }
code { font: .86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.brief { display: inline-block; min-width: 16ch; }
pre { overflow-x: auto; font-size: .82rem; margin: 8px 0; white-space: pre-wrap; }
.missing { border-left: 3px solid var(--open); padding: 4px 0 4px 14px; color: var(--soft); }
.note { color: var(--soft); font-size: .86rem; max-width: 72ch; }
details { margin: 12px 0; } summary { cursor: pointer; color: var(--accent); font-size: .9rem; }
.hash { color: var(--soft); font-size: .78rem; }
footer { color: var(--soft); font-size: .82rem; padding: 4px 8px; }
@media (max-width: 600px) { main { padding: 12px 10px 40px; } header, section { padding: 20px 16px; }
  h1 { font-size: 1.4rem; } .answer { font-size: 1.05rem; } figure { padding: 6px; } table { font-size: .8rem; }
  caption { max-width: calc(100vw - 56px); } th, td { padding-right: 9px; } .brief { min-width: 11ch; }
  .scroll { background: linear-gradient(90deg, var(--card) 60%, transparent) 0 0 / 28px 100% no-repeat local,
    linear-gradient(270deg, var(--card) 60%, transparent) 100% 0 / 28px 100% no-repeat local,
    linear-gradient(90deg, var(--shade), transparent) 0 0 / 14px 100% no-repeat scroll,
    linear-gradient(270deg, var(--shade), transparent) 100% 0 / 14px 100% no-repeat scroll; } }
@media print {
  :root { --ink: #000; --soft: #333; --line: #999; --page: #fff; --card: #fff; --accent: #000; --good: #0b5a34;
    --bad: #7d1424; --open: #5c4700; --mark: #f0f0f0; color-scheme: light; }
  @page { margin: 16mm 14mm; }
  body { background: #fff; font-size: 10pt; } main { max-width: none; padding: 0; }
  header, section { border: 0; border-radius: 0; padding: 0 0 10pt; margin: 0 0 8pt; }
  header { border-top: 0; } h1 { font-size: 17pt; } .answer { font-size: 11.5pt; max-width: none; }
  .lead, .note { max-width: none; } .law .big { min-height: 0; }
  .answers { grid-template-columns: 1fr 1fr 1fr; gap: 14pt; } .ask { margin-top: 4pt; padding-top: 6pt; }
  .ask h2 { font-size: 10.5pt; } .ask ul { font-size: 8.5pt; line-height: 1.35; } .ask li { margin-bottom: 4pt; }
  h1, h2, h3, caption, summary { break-after: avoid; } p, li { orphans: 3; widows: 3; }
  figure, .law, tr, pre, .badge, .laws { break-inside: avoid; } thead { display: table-header-group; }
  figure { border: 0; padding: 0; } img { max-width: 100%; max-height: 22cm; width: auto; } figcaption { color: #333; }
  .scroll, .law .big, pre { overflow: visible; } table { font-size: 8.5pt; } th, td { padding: 3pt 8pt 3pt 0; }
  .line { white-space: normal; } .brief { min-width: 0; }
  a { color: inherit; text-decoration: underline; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
  details > summary { list-style: none; color: inherit; font-weight: 600; } }
"""
