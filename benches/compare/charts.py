#!/usr/bin/env python3
"""Draws the charts of RESULTS.md: charts.py FIGURES.json DIRECTORY. Needs matplotlib."""

import sys
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from figures import LOST, METRICS, Figures

NEVER = 20_000  # ms: where "never" is drawn
OURS, THEIRS, LIMIT, INK, PALE = "#d1495b", "#8aa1b4", "#d9dfe4", "#22303c", "#e6eaee"
plt.rcParams |= {
    "svg.hashsalt": "adieu",
    "svg.fonttype": "none",  # text stays text
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": PALE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "figure.facecolor": "white",
}


class Charts:
    def __init__(self, figures: Figures, directory: Path):
        self._figures, self._directory = figures, directory
        directory.mkdir(parents=True, exist_ok=True)

    def draw_all(self) -> None:
        self.bars("throughput", "Requests per second", ["rate_1", "rate_64", "rate_512", "rate_deep"], columns=2)
        self.bars("latency", "99th percentile of the latency, in ms", ["p99_64", "p99_512", "half_p99"], log=True)
        self.bars("memory", "Memory", ["rss_idle", "rss_load", "each_10000"])
        self.bars("size", "Size and start", ["size", "crates", "start"])
        shutdowns = ["exit_nothing", "exit_new", "exit_half_head", "exit_idle", "exit_in_flight"]
        self.bars("shutdown", "SIGTERM to exit, in ms", shutdowns, log=True, by_sum=True)
        lost = ["lost_wire", "lost_queue", "lost_connect"]
        self.bars("lost", "Requests lost in a shutdown, in %", lost, by_sum=True)
        self.growth()

    def bars(self, chart: str, title: str, metrics: list[str], columns=3, log=False, by_sum=False) -> None:
        """A panel for each metric, a bar for each contestant, in the same order in each panel."""
        metrics = [metric for metric in metrics if self._figures.measured(metric)]
        if not metrics:
            return
        names = self.order(metrics, by_sum)
        columns = min(columns, len(metrics))
        rows = -(-len(metrics) // columns)
        size = (3.5 * columns + 2, rows * (0.3 * len(names) + 0.75) + 0.75)
        figure, grid = plt.subplots(rows, columns, figsize=size, sharex=log, sharey=True, squeeze=False, layout="constrained")
        for panel, metric in zip(grid.flat, metrics):
            self.panel(panel, metric, names, log)
        for panel in grid.flat[len(metrics) :]:
            panel.set_visible(False)
        better = "more" if METRICS[metrics[0]].more_is_better else "less"
        self.save(figure, chart, f"{title} ({better} is better)")

    def order(self, metrics: list[str], by_sum: bool) -> list[str]:
        """The contestants of a chart, best first by its first metric that tells them apart, the limit last."""
        known = [name for metric in metrics for name in self._figures.measured(metric)]
        if by_sum:
            known.sort(key=lambda name: sum(self.badness(metric, name) for metric in metrics))
        else:
            known = self._figures.measured(self.telling(metrics)) + known
        unique = list(dict.fromkeys(known))
        return sorted(unique, key=lambda name: self._figures.contestants[name]["limit"])

    def badness(self, metric: str, name: str) -> float:
        """To lose a request is as bad as to hang."""
        return NEVER if self._figures.get(metric, name).note == LOST else self.bar(metric, name)[0]

    @staticmethod
    def telling(metrics: list[str]) -> str:
        return next((metric for metric in metrics if metric.endswith("_64")), metrics[-1])

    def bar(self, metric: str, name: str) -> tuple[float, str]:
        """How long the bar is, and what stands at its end."""
        figure, (_, _, digits, *_) = self._figures.get(metric, name), METRICS[metric]
        if figure.values:
            value = self._figures.value(metric, name)
            return value, short(value, digits) + (", lost" if figure.note == LOST else "")
        if figure.note.startswith("still running"):
            return NEVER, "never"
        return 0, "fails" if figure.note else ""

    def panel(self, panel, metric: str, names: list[str], log: bool) -> None:
        title, unit, *_ = METRICS[metric]
        bars = [self.bar(metric, name) for name in names]
        lengths = [length for length, _ in bars]
        colors = [self.color(name, label) for name, (_, label) in zip(names, bars)]
        if log:  # a bar's length would mean nothing
            panel.scatter(lengths, range(len(names)), color=colors, s=55, zorder=3)
        else:
            panel.barh(range(len(names)), lengths, color=colors, height=0.72)
        for row, (name, (length, label)) in enumerate(zip(names, bars)):
            values = self._figures.get(metric, name).values
            end = length
            if len(values) > 1 and not METRICS[metric].rare:
                panel.plot([min(values), max(values)], [row, row], color=INK, linewidth=0.9, alpha=0.7)
                end = max(values)
            weight = "bold" if name == "adieu" else "normal"
            if log and not length:
                continue
            panel.annotate(label, (end, row), (7 if log else 4, 0), textcoords="offset points", va="center", fontsize=9, weight=weight)
        if log:
            panel.set_xscale("log")
            panel.margins(x=0.25)
            panel.grid(axis="y", color=PALE)
        else:
            panel.set_xlim(0, max(lengths + [0.001]) * 1.25)
        panel.set_title(f"{title}, {unit}" if unit else title)
        panel.set_yticks(range(len(names)), [self._figures.contestants[name]["title"] for name in names])
        for label, name in zip(panel.get_yticklabels(), names):
            label.set_fontweight("bold" if name == "adieu" else "normal")
        panel.set_ylim(len(names) - 0.4, -0.6)
        panel.tick_params(length=0)
        panel.spines.bottom.set_visible(False)
        panel.grid(axis="x", color=PALE)
        panel.xaxis.set_major_formatter(FuncFormatter(tick))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.tick_params(axis="x", labelsize=8, labelbottom=True)
        if not log:
            panel.locator_params(axis="x", nbins=4)

    def color(self, name: str, label: str) -> str:
        if name == "adieu":
            return OURS
        return LIMIT if self._figures.contestants[name]["limit"] or label == "never" else THEIRS

    def growth(self) -> None:
        cells = self._figures.growth
        if not cells:
            return
        figure, panels = plt.subplots(1, 3, figsize=(12.5, 4.2), layout="constrained")
        titles = {
            "rate": "requests/s (more is better)",
            "rss": "resident memory, MB (less is better)",
            "drain": "SIGTERM to exit, ms (less is better)",
        }
        shades = {1: OURS, 10: "#e08e45", 100: "#3d6b8c"}
        for panel, (key, title) in zip(panels, titles.items()):
            for services in sorted({cell["services"] for cell in cells}):
                line = [cell for cell in cells if cell["services"] == services]
                across = [cell["connections"] for cell in line]
                panel.fill_between(
                    across,
                    [min(cell[key]) for cell in line],
                    [max(cell[key]) for cell in line],
                    color=shades[services],
                    alpha=0.15,
                    linewidth=0,
                )
                label = f"{services} service{'s' if services > 1 else ''}"
                up = [median(cell[key]) for cell in line]
                panel.plot(across, up, marker="o", color=shades[services], label=label)
            panel.set_xscale("log")
            if key == "rate":
                panel.set_ylim(bottom=0)
            else:
                panel.set_yscale("log")
                most = max(cells, key=lambda cell: (cell["connections"], median(cell[key])))
                end, top = most["connections"], median(most[key])
                panel.plot([end / 10, end], [top / 10, top], ":", color=INK, linewidth=1, label="linear")
                panel.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
                panel.set_ylim(bottom=min(min(cell[key]) for cell in cells) / 2)
            panel.set_title(title)
            panel.set_xlabel("connections")
            panel.grid(color=PALE)
            panel.tick_params(length=0)
            panel.tick_params(which="minor", length=0)
            for axis in panel.xaxis, panel.yaxis:
                axis.set_major_formatter(FuncFormatter(tick))
                if axis.get_scale() == "log":
                    axis.set_minor_locator(NullLocator())
            panel.legend(frameon=False, fontsize=9)
        self.save(figure, "growth", "adieu as work grows, services side by side in one thread")

    def save(self, figure, chart: str, title: str) -> None:
        figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
        figure.savefig(self._directory / f"{chart}.svg", metadata={"Date": None})
        plt.close(figure)


def short(value: float, digits: int = 1) -> str:
    """123 k for 123,456 and 2.5 k for 2,506: a chart shows, the tables tell."""
    if value >= 10_000:
        return f"{value / 1000:,.0f} k"
    return f"{value / 1000:.1f} k" if value >= 1000 else f"{value:,.{0 if value >= 100 else digits}f}"


def tick(value: float, _) -> str:
    return f"{value / 1000:g} k" if value >= 1000 else f"{value:g}"


if __name__ == "__main__":
    Charts(Figures.load(Path(sys.argv[1])), Path(sys.argv[2])).draw_all()
