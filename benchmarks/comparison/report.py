"""The results as Markdown, JSON and a picture."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from comparison.summary import best_peers

COLUMNS = {
    "case": lambda r: r["case"],
    "contestant": lambda r: r["contestant"],
    "median s": lambda r: _number(r.get("median"), 3),
    "min..max": lambda r: f"{_number(r['min'], 3)}..{_number(r['max'], 3)}" if "min" in r else "-",
    "x ours": lambda r: _number(r.get("times_ours"), 2),
    "CPU / wall": lambda r: _number(r.get("cpu_per_wall"), 2),
    "GFLOP/s": lambda r: f"{r['gflops']:.0f}" if "gflops" in r else "-",
    "of the peak": lambda r: _number(r.get("of_peak"), 2),
    "peak GiB": lambda r: _number(r.get("peak_gib"), 2),
    "cold start s": lambda r: _number(r.get("cold_start"), 1),
    "work done": lambda r: _counts(r),
}
WIDE = ("inference", "training")
ONLY_WIDE = ("GFLOP/s", "of the peak", "work done", "peak GiB", "cold start s")


def write(folder: pathlib.Path, results: dict[str, Any]) -> list[pathlib.Path]:
    """Write `compare.md`, `compare.json` and, where there is something to draw, `compare.png`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"compare.md": markdown(results), "compare.json": json.dumps(results, indent=1) + "\n"}
    for name, text in texts.items():
        (folder / name).write_text(text)
    paths = [folder / name for name in texts]
    if any("median" in row for part in results["parts"] for row in part["rows"]):
        paths.append(folder / "compare.png")
        draw(paths[-1], results["parts"])
    return paths


def markdown(results: dict[str, Any]) -> str:
    """The whole report.

    Args:
        results: "machine" and "settings", two dictionaries of text or numbers; "absent", contestant -> remedy; and
            "parts", each with "workload", "allocator", "rows", "peak" and perhaps "profile" (stage -> seconds).
    """
    facts = {**results["machine"], **results["settings"]}
    lines = ["# Comparison", "", "; ".join(f"{name}: {value}" for name, value in facts.items()), ""]
    versions = {str(r["versions"]): r for part in results["parts"] for r in part["rows"] if r["versions"]}
    for row in versions.values():
        lines.append("- " + ", ".join(f"{name} {version}" for name, version in row["versions"].items()))
    lines += [f"- not installed: {name} (`{remedy}`)" for name, remedy in results["absent"].items()]
    for part in results["parts"]:
        lines += ["", f"## {part['workload']}, {part['allocator']} allocator", "", *_part(part)]
    return "\n".join(lines) + "\n"


def table(rows: Sequence[dict[str, Any]], workload: str) -> list[str]:
    """Lines of a Markdown table."""
    names = [name for name in COLUMNS if workload in WIDE or name not in ONLY_WIDE]
    if workload in WIDE:
        names.remove("case")
    cells = [[COLUMNS[name](row) for name in names] for row in rows]
    return [_line(names), _line(["---"] * len(names)), *map(_line, cells)]


def _part(part: dict[str, Any]) -> list[str]:
    if "profile" in part:
        total = part["profile"]["all"]
        stages = [[name, f"{s:.3f}", f"{100 * s / total:.0f} %"] for name, s in part["profile"].items()]
        return [_line(["stage", "s", "of all"]), _line(["---"] * 3), *map(_line, stages)]
    lines = table(part["rows"], part["workload"])
    names = {"convolutions": "best convolution", "matrices": "product of matrices"}
    reached = [f"{names[kind]} {value:.0f} GFLOP/s" for kind, value in part["peak"].items()]
    if reached:
        lines += ["", f"Measured in the same rounds: {', '.join(reached)}."]
    best = [f"{b['ratio']:.2f} of {b['contestant']}'s ({b['case']})" for b in best_peers(part["rows"])]
    if best:
        lines += ["", f"Ours against the best peer: {'; '.join(best)}."]
    lines += [f"\n{row['contestant']} failed: {row['error']}" for row in part["rows"] if "error" in row]
    return lines


def draw(path: pathlib.Path, parts: Sequence[dict[str, Any]]) -> None:
    """Bars of the medians with their spread, a panel for each workload and allocator."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [(part, [r for r in part["rows"] if "median" in r]) for part in parts if "profile" not in part]
    shown = [(part, rows) for part, rows in shown if rows]
    heights = [1 + 0.25 * len(rows) for _, rows in shown]
    figure, axes = pyplot.subplots(
        len(shown), figsize=(9, sum(heights) + 1), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axis, (part, rows) in zip(axes[:, 0], shown):
        _bars(axis, rows)
        axis.set_title(f"{part['workload']}, {part['allocator']} allocator")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _bars(axis, rows: Sequence[dict[str, Any]]) -> None:
    several = len({row["case"] for row in rows}) > 1
    labels = [f"{r['case']}: {r['contestant']}" if several else r["contestant"] for r in rows]
    medians = [row["median"] for row in rows]
    spread = [[r["median"] - r["min"] for r in rows], [r["max"] - r["median"] for r in rows]]
    colors = ["tab:orange" if row["contestant"].startswith("ours") else "tab:blue" for row in rows]
    axis.barh(range(len(rows)), medians, xerr=spread, color=colors, ecolor="0.4", capsize=2)
    axis.set_yticks(range(len(rows)), labels, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("seconds")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _counts(row: dict[str, Any]) -> str:
    if not row["counts"]:
        return "-"
    text = ", ".join(f"{number} {name}" for name, number in row["counts"].items())
    return text if row["as_expected"] else f"**not all**: {text}"
