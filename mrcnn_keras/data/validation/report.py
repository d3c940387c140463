"""What a validation found, and its report as a file."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from mrcnn_keras.data.validation.findings import KINDS, Finding
from mrcnn_keras.data.validation.statistics import Statistics
from mrcnn_keras.data.validation.tables import as_markdown, statistics_tables


@dataclasses.dataclass(frozen=True)
class ValidationReport:
    """What `validate_coco` found.

    Attributes:
        image_dir: folder of the images.
        annotation_file: the annotation file.
        findings: in the order of the dataset; at most 10000 of a kind.
        counts: number of findings by kind, also those beyond the listed ones, errors first.
        statistics: what is in the dataset, or None where the annotation file cannot be read.
    """

    image_dir: str
    annotation_file: str
    findings: tuple[Finding, ...]
    counts: dict[str, int]
    statistics: Statistics | None

    @property
    def ok(self) -> bool:
        """Whether training is safe: there are no errors; there may be warnings."""
        return not self.number_of("error")

    def number_of(self, severity: str) -> int:
        """Number of findings of a severity, "error" or "warning"."""
        return sum(count for kind, count in self.counts.items() if KINDS[kind].severity == severity)

    def by_kind(self) -> Iterator[tuple[str, list[Finding]]]:
        """Each kind that was found, errors first, with its findings."""
        for kind in self.counts:
            yield kind, [finding for finding in self.findings if finding.kind == kind]

    def as_dict(self) -> dict[str, Any]:
        """All of it as numbers, text, lists and dicts."""
        fields = dataclasses.asdict(self)
        return {"ok": self.ok, "errors": self.number_of("error"), "warnings": self.number_of("warning"), **fields}

    def write(self, path: str | os.PathLike) -> None:
        """Write a report: JSON where the name ends in .json, else Markdown. Folders are made if need be."""
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        as_json = path.suffix.lower() == ".json"
        text = json.dumps(self.as_dict(), indent=2, ensure_ascii=False) if as_json else self._markdown()
        # A damaged name may hold half a character.
        path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")

    def __str__(self) -> str:
        numbers = {severity: self.number_of(severity) for severity in ("error", "warning")}
        found = ", ".join(f"{number} {severity}{'s' * (number != 1)}" for severity, number in numbers.items())
        return f"{self.annotation_file}: {found}: training is {'' if self.ok else 'not '}safe"

    def _markdown(self) -> str:
        parts = ["# Validation", f"{self}.", f"Images: {self.image_dir}"]
        for kind, findings in self.by_kind():
            severity, title, _ = KINDS[kind]
            parts.append(f"## {severity}: {title} ({kind}, {self.counts[kind]})")
            lines = [f"- {' '.join(str(finding).split())}" for finding in findings]
            more = self.counts[kind] - len(findings)
            parts.append("\n".join(lines + ([f"- ... and {more} more"] if more else [])))
        if self.statistics is not None:
            parts += ["## Statistics", *map(as_markdown, statistics_tables(self.statistics))]
        return "\n\n".join(parts)
