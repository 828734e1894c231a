"""Colours of figures: each lighter than the one before, so that grey prints and colour-blind readers tell them apart,
and line styles and markers to go with them.
"""

INK, SOFT, ACCENT, MUTED = "#15202f", "#155a88", "#e2683c", "#aeb7c0"  # dark to light
LAW, NETWORK, REFERENCE = SOFT, ACCENT, MUTED
SERIES = (INK, "#7b2e16", "#17737f", "#e6643a", "#c0b7e8")  # of several of a kind, dark to light
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def series(k: int) -> tuple[str, str, str]:
    """Colour, line style and marker of the ``k``-th of several: the same pair of the first two comes back after 20."""
    return SERIES[k % len(SERIES)], LINES[k // len(SERIES) % len(LINES)], MARKERS[k % len(MARKERS)]
