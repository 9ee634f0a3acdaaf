"""RESULTS.md: what was measured, as tables, the best of each column in bold."""

import statistics

from contestants import CONTESTANTS
from figures import LOST, METRICS, Figures

TABLES = {
    "Requests per second": ["rate_1", "rate_64", "rate_512", "rate_deep"],
    "Latency at full load": ["p50_1", "p99_1", "p50_64", "p99_64", "p50_512", "p99_512", "p50_deep", "p99_deep"],
    "Latency at a fixed rate, half of each server's own requests/s with 64 connections": [
        "half_rate",
        "half_p50",
        "half_p99",
        "half_p999",
    ],
    "CPU time": ["cpu_full", "cpu_half"],
    "Memory": ["rss_idle", "rss_load", "each_1000", "each_10000"],
    "Size and start": ["size", "crates", "start"],
    "From SIGTERM to the end of the process": [
        "exit_nothing",
        "exit_new",
        "exit_half_head",
        "exit_idle",
        "exit_in_flight",
    ],
    "Requests lost in a shutdown": ["lost_wire", "lost_queue", "lost_connect"],
}
SECTION = {metric: "exit: " for metric in METRICS if metric.startswith("exit_")} | {
    metric: "lost: " for metric in METRICS if metric.startswith("lost_")
}
CHARTS = {
    "Requests per second": ["throughput"],
    "Latency at full load": ["latency"],
    "Memory": ["memory"],
    "Size and start": ["size"],
    "From SIGTERM to the end of the process": ["shutdown"],
    "Requests lost in a shutdown": ["lost"],
}
HOW = """\
One run of `benches/compare/compare.py`; compare figures within it, never with those of another run or machine.
Server on the first core, load on the last one. Each figure is the median of its rounds, with the lowest and the
highest in brackets; the contestants take turns in each round. **Bold** is the best HTTP server of a column.
"""
NOTES = {
    "Requests per second": "wrk, 1 thread; 16 deep: with 16 requests pipelined in each write. Every answer is checked for its status. “Go net/http, all cores” may "
    "use the core of the load too. The raw echo parses nothing: it is what the runtime could do at most.",
    "Latency at a fixed rate, half of each server's own requests/s with 64 connections": "h2load "
    "`--h1 --rps`, 64 connections, which sends in ticks of 1 ms: the 64 requests of a tick come together, so p50 "
    "is about half of the time a tick's requests take. It measures from the moment it really sends.",
    "Memory": "Resident memory of the process, in bytes of 10^6; kernel memory (socket buffers) is not in it. "
    "Load is that of 64 connections. A connection is idle when it has done one request: 1,000 and 10,000 of them.",
    "Size and start": "Built with the same profile (fat LTO, one codegen unit, stripped). Crates without the "
    "program's own; Go's standard library is not a crate. Start: from the start of the process to the end of its "
    "first answer.",
    "From SIGTERM to the end of the process": "Short is not always good: async-h1 leaves at once and answers "
    "nobody. What the client saw is said beside the time.",
    "Requests lost in a shutdown": "On the wire: 50 open connections whose requests had arrived, unread, when "
    "SIGTERM came. In the accept queue: 20 more on connections that were not accepted yet; in every other round "
    "those came first. A connection per "
    "request: 24 clients in a tight loop of connect, ask, close, counted when accepted and left without an "
    "answer. Averages over all rounds.",
}


def markdown(figures: Figures) -> str:
    sections = [f"# Measured side by side\n\n{HOW}", about(figures), standing(figures)]
    for title, metrics in TABLES.items():
        sections.append(table(figures, title, metrics))
    sections += [growth(figures), versions(figures)]
    return "\n".join(filter(None, sections))


def about(figures: Figures) -> str:
    lines = [f"- {what}: {value}" for what, value in figures.about.items()]
    missing = [f"- **left out**: {what}" for what in figures.left_out]
    absent = [contestant.title for name, contestant in CONTESTANTS.items() if name not in figures.contestants]
    if absent:
        missing.append(f"- **not measured**: {', '.join(absent)}")
    return "\n".join(lines + missing) + "\n"


def rivals(figures: Figures, metric: str) -> list[str]:
    """The HTTP servers measured, the best first. The limit is no HTTP server, and to be quick by losing the
    request is no merit."""
    return [
        name
        for name in figures.measured(metric)
        if not figures.contestants[name]["limit"] and figures.get(metric, name).note != LOST
    ]


def standing(figures: Figures) -> str:
    """adieu against the best of the others, metric by metric, its wins first."""
    rows = []
    for metric, (title, unit, digits, more_is_better, _) in METRICS.items():
        values = {name: figures.value(metric, name) for name in rivals(figures, metric)}
        ours = values.pop("adieu", None)
        if ours is None or not values or metric == "half_rate":
            continue
        best, theirs = next(iter(values.items()))
        place = 1 + sum(value > ours if more_is_better else value < ours for value in values.values())
        cells = [
            SECTION.get(metric, "") + title,
            f"{place} of {len(values) + 1}",
            number(ours, unit, digits),
            figures.contestants[best]["title"],
            number(theirs, unit, digits),
            f"{ours / theirs:.2f} x" if theirs else "",
        ]
        rows.append((place, f"| {' | '.join(cells)} |"))
    if not rows:
        return ""
    rows.sort(key=lambda row: row[0])
    head = "\n## Where adieu stands\n\n| | place | adieu | best of the others | theirs | adieu to theirs |\n"
    return head + "|---|--:|--:|---|--:|--:|\n" + "\n".join(row for _, row in rows) + "\n"


def table(figures: Figures, title: str, metrics: list[str]) -> str:
    measured = [metric for metric in metrics if figures.measured(metric)]
    if not measured:
        return ""
    lines = [f"\n## {title}\n"]
    lines += [f"![{METRICS[metrics[0]].title}](charts/{chart}.svg)\n" for chart in CHARTS.get(title, [])]
    lines += [NOTES[title] + "\n"] if title in NOTES else []
    lines += ["| | " + " | ".join(heading(metric) for metric in measured) + " |"]
    lines += ["|---|" + "--:|" * len(measured)]
    for name, contestant in figures.contestants.items():
        cells = [cell(figures, metric, name) for metric in measured]
        if any(cells):
            lines.append(f"| {contestant['title']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def heading(metric: str) -> str:
    title, unit, *_ = METRICS[metric]
    return f"{title}, {unit}" if unit else title


def cell(figures: Figures, metric: str, name: str) -> str:
    figure, (_, _, digits, _, rare) = figures.get(metric, name), METRICS[metric]
    if not figure.values:
        return figure.note
    told = f"{figures.value(metric, name):,.{digits}f}"
    best = rivals(figures, metric)[:1]
    if name in best or best and figures.value(metric, name) == figures.value(metric, best[0]) and rare:
        told = f"**{told}**"
    low, high = (f"{end(figure.values):,.{digits}f}" for end in (min, max))
    if low != high and not rare:
        told += f" ({low} to {high})"
    return f"{told}, {figure.note}" if figure.note else told


def number(value: float, unit: str, digits: int) -> str:
    return f"{value:,.{digits}f} {unit}".rstrip()


def growth(figures: Figures) -> str:
    if not figures.growth:
        return ""
    lines = [
        "\n## Cost as work grows\n\n![Cost as work grows](charts/growth.svg)\n\n"
        "adieu alone. Requests/s with wrk, a thread for each service as far as the connections go; resident "
        "memory with that many connections between requests; drain from SIGTERM to the end of the process with "
        "all of them open. With nothing worse than linear, bytes and µs a connection do not grow from 1,000 to "
        "10,000 connections. The last column is the part of the kernel, which closes the sockets: from SIGKILL to "
        "the end of the process.\n\n"
        "| services | connections | requests/s | resident, MB | drain, ms | bytes a connection | drain, µs a connection | killed, µs a connection |\n"
        "|--:|--:|--:|--:|--:|--:|--:|--:|"
    ]
    for cell in figures.growth:
        services, connections = cell["services"], cell["connections"]
        base = next(other for other in figures.growth if other["services"] == services)
        rate, rss, drain, killed = (statistics.median(cell[key]) for key in ("rate", "rss", "drain", "killed"))
        grown = rss - statistics.median(base["rss"])
        each = f"{grown * 1e6 / (connections - base['connections']):,.0f}" if cell is not base else ""
        drained, closed = (f"{end * 1000 / connections:,.1f}" for end in (drain, killed))
        lines.append(
            f"| {services} | {connections:,} | {rate:,.0f} | {rss:,.2f} | {drain:,.1f} | {each} | {drained} | {closed} |"
        )
    return "\n".join(lines) + "\n"


def versions(figures: Figures) -> str:
    lines = ["\n## Versions\n"]
    for contestant in figures.contestants.values():
        if direct := contestant.get("versions"):
            lines.append(f"- {contestant['title']}: {', '.join(direct)}")
    return "\n".join(lines) + "\n"
