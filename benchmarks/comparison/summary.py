"""Records of the processes -> rows of the tables."""

import statistics
from collections.abc import Sequence
from typing import Any

from comparison import convolutions, work
from comparison.contestants import PEAK, REFERENCE
from comparison.operations import FLOPS
from comparison.rounds import Record


def rows(workload: str, allocator: str, groups: Sequence[Sequence[Record]]) -> list[dict[str, Any]]:
    """One row for each case and contestant, the cases together; a contestant of several groups has one row.

    Args:
        workload: what they did.
        allocator: "stock" or "tuned".
        groups: the records of those that took turns with each other.

    Returns: rows with "workload", "allocator", "contestant", "case", "median", "min", "max" (seconds), "cpu_per_wall",
    "rounds", "times_ours" (the median by that of ours in the same group), "gflops" and "of_peak" where the work has
    been counted, "peak_gib", "cold_start", "versions", "counts" and "as_expected". One that failed has "error".
    """
    best = peak(groups).get("convolutions")
    shared = {"workload": workload, "allocator": allocator}
    made = []
    for name in dict.fromkeys(r.contestant for group in groups for r in group if r.workload == workload):
        found = [(group, r) for group in groups for r in group if (r.contestant, r.workload) == (name, workload)]
        errors = [r.error for _, r in found if r.error]
        about = {**shared, "contestant": name, **_about(workload, [r for _, r in found])}
        if errors:
            about["error"] = errors[0]
        cases = list(dict.fromkeys(case for _, r in found for case in r.walls))
        made += [{**about, **_case(case, found, best)} for case in cases] or [{**about, "case": workload}]
    cases = list(dict.fromkeys(row["case"] for row in made))
    return sorted(made, key=lambda row: cases.index(row["case"]))


def peak(groups: Sequence[Sequence[Record]]) -> dict[str, float]:
    """GFLOP/s of the best convolution ("convolutions") and of the matrix product ("matrices"), as far as measured."""
    reached: dict[str, list[float]] = {}
    for record in (record for group in groups for record in group if record.workload == PEAK):
        for case, walls in record.walls.items():
            kind = "matrices" if case == convolutions.PRODUCT else "convolutions"
            reached.setdefault(kind, []).append(convolutions.flops(case) / statistics.median(walls) / 1e9)
    return {kind: max(values) for kind, values in reached.items()}


def best_peers(made: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each case's quickest contestant that is not ours: "case", "contestant", and "ratio", ours by its time."""
    found = []
    for case in dict.fromkeys(row["case"] for row in made):
        peers = [
            r for r in made if r["case"] == case and "times_ours" in r and not r["contestant"].startswith(REFERENCE)
        ]
        if peers:
            row = max(peers, key=lambda r: 1 / r["times_ours"])
            found.append({"case": case, "contestant": row["contestant"], "ratio": 1 / row["times_ours"]})
    return found


def _about(workload: str, records: Sequence[Record]) -> dict[str, Any]:
    """What does not depend on the case."""
    counts = next((r.end["counts"] for r in records if r.end.get("counts")), {})
    peaks = [r.end["peak_gib"] for r in records if r.end]
    starts = [r.start["cold_start"] for r in records if r.start]
    expected = work.EXPECTED.get(workload, {})
    return {
        "versions": next((r.start["versions"] for r in records if r.start), {}),
        "cold_start": statistics.median(starts) if starts else None,
        "peak_gib": max(peaks, default=None),
        "counts": counts,
        "as_expected": all(counts.get(name) == number for name, number in expected.items()) if counts else None,
    }


def _case(case: str, found: Sequence[tuple[Sequence[Record], Record]], best: float | None) -> dict[str, Any]:
    walls = [wall for _, record in found for wall in record.walls.get(case, ())]
    cpus = [cpu for _, record in found for cpu in record.cpus.get(case, ())]
    median = statistics.median(walls)
    row = {"case": case, "median": median, "min": min(walls), "max": max(walls), "rounds": len(walls)}
    row["cpu_per_wall"] = sum(cpus) / sum(walls)
    ratios = [ratio for group, record in found if (ratio := _times_ours(case, group, record)) is not None]
    if ratios:
        row["times_ours"] = statistics.median(ratios)
    if case in FLOPS:
        row["gflops"] = FLOPS[case] / median / 1e9
        row |= {"of_peak": row["gflops"] / best} if best else {}
    return row


def _times_ours(case: str, group: Sequence[Record], record: Record) -> float | None:
    ours = next((r for r in group if (r.contestant, r.workload) == (REFERENCE, record.workload)), None)
    if ours is None or not ours.walls.get(case) or not record.walls.get(case):
        return None
    return statistics.median(record.walls[case]) / statistics.median(ours.walls[case])
