"""The figures of the report."""

import numpy as np
from figures import draw_front

from distill.report import plots


def test_the_numbers_below_an_axis_do_not_overlap():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    values = np.random.default_rng(0).uniform(-0.0123, 0.0123, (100, 2))
    splines = {"splines": (values[:, 0], values[:, 1], {"r2_all": 1.0, "r2_trim90": 1.0})}
    figure = plots.linear_fit(values, values, ["", ""], [(1, 1), (1, 1)], splines, "")
    FigureCanvasAgg(figure).draw()
    for axis in figure.axes:
        low, high = axis.get_xlim()
        shown = [t.get_window_extent() for t in axis.get_xticklabels() if low <= t.get_position()[0] <= high]
        assert len(shown) > 2 and all(a.x1 < b.x0 for a, b in zip(shown, shown[1:], strict=False))


def test_complexities_are_whole_numbers_on_the_axis():
    figure = plots.pareto({"radial": (np.array([1, 3, 14]), np.array([1, 0.1, 0.01]), 2)}, "")
    target = {"rows": [[1, 1.0, "r"], [3, 0.1, "r"], [14, 0.01, "r"]], "chosen": 2}
    draw_front(
        of_the_readme := plots.Figure((3.8, 3.6)).subplots(), {"targets": {"radial": target}, "pair": {"latex": "r"}}
    )
    for axis in (figure.axes[0], of_the_readme):
        assert all(tick == int(tick) for tick in axis.get_xticks())
