"""What is measured of each contestant: one list of metrics, for the measuring, the tables and the charts."""

import json
import statistics
from pathlib import Path
from typing import NamedTuple

LOST = "request lost"  # the note of a shutdown that left a request without its answer


class Metric(NamedTuple):
    title: str
    unit: str = ""
    digits: int = 0
    more_is_better: bool = False
    rare: bool = False  # what happens rarely is told by its average, for its median would be 0


METRICS = {
    "rate_1": Metric("requests/s, 1 connection", more_is_better=True),
    "rate_64": Metric("requests/s, 64 connections", more_is_better=True),
    "rate_512": Metric("requests/s, 512 connections", more_is_better=True),
    "rate_deep": Metric("requests/s, 64 connections, 16 deep", more_is_better=True),
    "p50_1": Metric("p50, 1 connection", "ms", 3),
    "p99_1": Metric("p99, 1 connection", "ms", 3),
    "p50_64": Metric("p50, 64 connections", "ms", 2),
    "p99_64": Metric("p99, 64 connections", "ms", 2),
    "p50_512": Metric("p50, 512 connections", "ms", 2),
    "p99_512": Metric("p99, 512 connections", "ms", 2),
    "p50_deep": Metric("p50, 64 connections, 16 deep", "ms", 2),
    "p99_deep": Metric("p99, 64 connections, 16 deep", "ms", 2),
    "half_rate": Metric("requests/s reached at half load", more_is_better=True),
    "half_p50": Metric("p50 at half load", "ms", 2),
    "half_p99": Metric("p99 at half load", "ms", 2),
    "half_p999": Metric("p99.9 at half load", "ms", 2),
    "cpu_full": Metric("CPU per request, full load", "µs", 1),
    "cpu_half": Metric("CPU per request, half load", "µs", 1),
    "rss_idle": Metric("resident when idle", "MB", 1),
    "rss_load": Metric("resident under load", "MB", 1),
    "each_1000": Metric("bytes per idle connection, 1,000"),
    "each_10000": Metric("bytes per idle connection, 10,000"),
    "start": Metric("start to first answer", "ms", 1),
    "size": Metric("stripped binary", "MB", 2),
    "crates": Metric("crates in the tree"),
    "exit_nothing": Metric("nothing connected", "ms", 1),
    "exit_new": Metric("a connection without a byte", "ms", 1),
    "exit_half_head": Metric("half a request head", "ms", 1),
    "exit_idle": Metric("2,000 idle connections", "ms", 1),
    "exit_in_flight": Metric("a request with 500 ms to go", "ms", 1),
    "lost_wire": Metric("on the wire", "%", 1, rare=True),
    "lost_queue": Metric("in the accept queue", "%", 1, rare=True),
    "lost_connect": Metric("a connection per request", "%", 1, rare=True),
}


class Figure:
    """The values of one metric of one contestant, a value a round, and what else is to say."""

    def __init__(self, values=(), note=""):
        self.values, self.note = list(values), note


class Figures:
    """All that was measured. It survives as a file, so that charts can be drawn again."""

    def __init__(self):
        self.about: dict[str, str] = {}
        self.left_out: list[str] = []
        self.contestants: dict[str, dict] = {}
        self.growth: list[dict] = []
        self._figures: dict[str, dict[str, Figure]] = {metric: {} for metric in METRICS}

    def leave_out(self, what: object) -> None:
        """Once for each thing that is missing, with the way to get it."""
        if str(what) not in self.left_out:
            print(f"Left out: {what}.", flush=True)
            self.left_out.append(str(what))

    def add(self, metric: str, name: str, value: float) -> None:
        self._figure(metric, name).values.append(value)

    def note(self, metric: str, name: str, note: str) -> None:
        self._figure(metric, name).note = note

    def _figure(self, metric: str, name: str) -> Figure:
        return self._figures[metric].setdefault(name, Figure())

    def get(self, metric: str, name: str) -> Figure:
        return self._figures[metric].get(name, Figure())

    def value(self, metric: str, name: str) -> float:
        values = self.get(metric, name).values
        return statistics.mean(values) if METRICS[metric].rare else statistics.median(values)

    def measured(self, metric: str) -> list[str]:
        """The contestants with values of a metric, the best first."""
        names = [name for name, figure in self._figures[metric].items() if figure.values]
        better_first = METRICS[metric].more_is_better
        return sorted(names, key=lambda name: self.value(metric, name), reverse=better_first)

    def save(self, path: Path) -> None:
        kept = {key: value for key, value in vars(self).items() if key != "_figures"}
        kept["figures"] = {
            metric: {name: vars(figure) for name, figure in of_each.items()}
            for metric, of_each in self._figures.items()
        }
        path.write_text(json.dumps(kept, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Figures":
        kept, figures = json.loads(path.read_text()), cls()
        for metric, of_each in kept.pop("figures").items():
            figures._figures[metric] = {name: Figure(**figure) for name, figure in of_each.items()}
        vars(figures).update(kept)
        return figures
