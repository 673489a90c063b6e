"""The picture in docs/performance.md: two rows of bars, as SVG."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt

PICTURE = "![Records a second by way, and microseconds for a hot read](images/performance.svg)"

_DECANT, _OTHERS, _BARE = "#b5446e", "#8f9bb3", "#d8dce6"


def draw(path: Path, rates: Mapping[str, float], reads: Mapping[str, float]) -> None:
    """Draws records per second by way, and microseconds by handler."""
    mpl.rcParams["svg.hashsalt"] = "decant"  # the same figures give the same bytes
    mpl.rcParams["svg.fonttype"] = "none"  # text as text, not as outlines
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    _bars(left, rates, "records a second (more is better)")
    _bars(right, reads, "µs for one person in Redis, on one core (less is better)")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _bars(axes: plt.Axes, figures: Mapping[str, float], title: str) -> None:
    names = [name.replace("*", "").replace("`", "").partition(":")[0] for name in figures]
    bars = axes.barh(names, list(figures.values()), color=[_colour(name) for name in figures])
    axes.bar_label(bars, [f"{figure:,.0f}" for figure in figures.values()], padding=3, fontsize=8)
    axes.set_title(title, fontsize=9, loc="left")
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.tick_params(labelsize=8, length=0)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)


def _colour(name: str) -> str:
    if "Decant" in name:
        return _DECANT
    return _BARE if "ceiling" in name or "bare" in name else _OTHERS
