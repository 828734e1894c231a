"""Drawings of a dataset: trails of the particles, as one picture or as a GIF. Arrays in, figure out."""

import io
import textwrap

import numpy as np

from distill.physics.system import System
from distill.physics.terms import State
from distill.shell.stage import progress

# Okabe and Ito's colours, told apart with any colour vision; yellow left out on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
INK, PAPER, GRID = "#222222", "#FFFFFF", "#E8E8E8"
PANELS = 6
TRAIL = 30  # frames of trail in the animation
DURATION = 6.0  # seconds of the animation
MOST_FRAMES = 150
A_PANEL = 34  # letters of a heading above each panel


def _figure(rows, columns, size):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size * columns, size * rows + 0.5), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: nothing global, no display needed
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def _prepare(axes, pos, title):
    """Square axes around the middle 98 % of the positions, so that one runaway does not empty the panel."""
    low, high = np.quantile(pos[..., :2].reshape(-1, 2), (0.01, 0.99), axis=0)
    middle, half = (low + high) / 2, 0.6 * max(float((high - low).max()), 1e-3)
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7, length=0, colors="#777777")
    for side in axes.spines.values():
        side.set_visible(False)


def _marker_area(mass):
    return 18 * np.clip(mass, 0.2, 12) ** (2 / 3)


def _centres(axes, system):
    """Circles about the centres of forces, as far out as they are half of their largest on the way."""
    from matplotlib.patches import Circle

    for acting in () if system is None else system.of_nodes:
        if acting.centre is None:
            continue
        s = np.linspace(0.01, 50, 5000)
        places = np.r_[np.array(acting.centre[:2]), 0.0][:2] + np.outer(s, [1.0, 0.0])
        state = State(0 * places, dict.fromkeys(system.properties, np.ones(len(s))), places)
        size = np.abs(acting.force(state, system.properties)[:, 0])
        strong = s[size >= 0.5 * size.max()]
        if strong[-1] < s[-1]:
            axes.add_patch(Circle(acting.centre[:2], strong[-1], color=GRID, zorder=1))


def _heading(dataset, system, panels: int) -> str:
    """What is drawn, in lines that ``panels`` side by side are wide enough for."""
    text = dataset.name if system is None else f"{dataset.name}: {system.summary}"
    if dataset.dim > 2:
        text += f" (first 2 of {dataset.dim} axes)"
    return textwrap.fill(text, A_PANEL * panels)


def _trail(colour, count):
    """Colours of ``count`` segments, from transparent to full."""
    from matplotlib.colors import to_rgb

    rgba = np.empty((max(count, 1), 4))
    rgba[:, :3] = to_rgb(colour)
    rgba[:, 3] = np.linspace(0.08, 0.9, max(count, 1))
    return rgba


def _segments(path):
    return np.stack([path[:-1], path[1:]], axis=1)


def plot_trajectories(dataset, system: System | None = None, count: int = PANELS) -> bytes:
    """A PNG of the first ``count`` trajectories: trails that darken with time.

    ``dataset`` is a ``files.dataset.Dataset``; the area of the last marker grows with the mass, and the links of
    a chain are drawn where ``system`` says that it is one.
    """
    from matplotlib.collections import LineCollection

    count = min(count, len(dataset.pos))
    columns = min(3, count)
    figure, panels = _figure(-(-count // columns), columns, 3.0)
    for axes in panels[count:]:
        axes.set_visible(False)
    for k, axes in zip(range(count), panels, strict=False):
        pos = dataset.pos[k]
        if dataset.dim == 1:
            pos = np.concatenate([pos, np.zeros_like(pos)], axis=-1)
        _prepare(axes, pos, f"trajectory {k}")
        _centres(axes, system)
        if system is not None and system.neighbours_only:
            for f in np.unique(np.linspace(0, len(pos) - 1, 6).astype(int)):
                axes.plot(*pos[f, :, :2].T, color=INK, linewidth=0.8, alpha=0.15 + 0.6 * f / len(pos), zorder=2)
        for j in range(dataset.n):
            colour, path = COLOURS[j % len(COLOURS)], pos[:, j, :2]
            trail = _trail(colour, len(path) - 1)
            axes.add_collection(LineCollection(_segments(path), colors=trail, linewidths=1.6))
            axes.scatter(*path[0], s=8, facecolors=PAPER, edgecolors=colour, linewidths=0.8, zorder=3)
            area = _marker_area(dataset.mass[k, j])
            axes.scatter(*path[-1], s=area, color=colour, edgecolors=PAPER, linewidths=0.8, zorder=4)
    figure.suptitle(_heading(dataset, system, columns), fontsize=11, color=INK, x=0.01, ha="left")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return file.getvalue()


def animate_trajectories(dataset, system: System | None = None, count: int = 3) -> bytes:
    """A GIF of the first ``count`` trajectories, moving, with fading trails; about ``DURATION`` seconds."""
    from matplotlib.collections import LineCollection
    from PIL import Image

    count = min(count, len(dataset.pos))
    figure, panels = _figure(1, count, 3.2)
    figure.suptitle(_heading(dataset, system, count), fontsize=10, color=INK, x=0.01, ha="left")
    drawn = []
    for k, axes in zip(range(count), panels, strict=True):
        pos = dataset.pos[k]
        if dataset.dim == 1:
            pos = np.concatenate([pos, np.zeros_like(pos)], axis=-1)
        _prepare(axes, pos, f"trajectory {k}")
        _centres(axes, system)
        chain = system is not None and system.neighbours_only
        links = axes.plot([], [], color=INK, linewidth=1.0 if chain else 0.0, zorder=2)[0]
        trails = [LineCollection([], linewidths=1.8) for _ in range(dataset.n)]
        for trail in trails:
            axes.add_collection(trail)
        colours = [COLOURS[j % len(COLOURS)] for j in range(dataset.n)]
        dots = axes.scatter(*pos[0, :, :2].T, s=_marker_area(dataset.mass[k]), c=colours, zorder=4)
        dots.set(edgecolors=PAPER, linewidths=0.8)
        drawn.append((axes, pos[..., :2], (links, dots, *trails)))
    # Axes and labels are drawn once; for every frame only what moves is drawn over them.
    for _, _, artists in drawn:
        for artist in artists:
            artist.set_animated(True)
    canvas = figure.canvas
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    frames = np.unique(np.linspace(0, dataset.pos.shape[1] - 1, MOST_FRAMES).astype(int))
    images, palette = [], _palette()
    for f in progress(frames, desc="drawing", unit="frame"):
        canvas.restore_region(background)
        for axes, pos, artists in drawn:
            _move(pos, f, *artists)
            for artist in artists:
                axes.draw_artist(artist)
        images.append(
            Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()).quantize(palette=palette, dither=0)
        )
    file = io.BytesIO()
    pause = max(20, round(1000 * DURATION / len(frames)))
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=pause, loop=0)
    return file.getvalue()


def _palette():
    """The colours of the trails in all their shades: one found image by image merges neighbours."""
    from matplotlib.colors import to_rgb
    from PIL import Image

    shades = np.linspace(0.08, 1, 30)[:, None]
    table = [1 - shades * (1 - np.array(to_rgb(colour))) for colour in (*COLOURS, INK)]
    colours = np.round(255 * np.concatenate([np.ones((1, 3)), *table])).astype(int)
    image = Image.new("P", (1, 1))
    image.putpalette(colours.ravel().tolist())
    return image


def _move(pos, frame, links, dots, *trails):
    dots.set_offsets(pos[frame])
    links.set_data(*pos[frame].T)
    for j, trail in enumerate(trails):
        path = pos[max(0, frame - TRAIL) : frame + 1, j]
        trail.set_segments(_segments(path))
        trail.set_color(_trail(COLOURS[j % len(COLOURS)], len(path) - 1))
