"""A benchmark's result: figures by name, printed and kept as JSON."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run measured; units are in the figures' names."""

    name: str
    figures: dict[str, float | int | str]
    #: Figures with a goal: name → (measured, goal, whether it is met).
    goals: dict[str, tuple[float, float, bool]] = field(default_factory=dict[str, tuple[float, float, bool]])
    cores: int = field(default_factory=lambda: os.cpu_count() or 0)
    python: str = field(default_factory=platform.python_version)
    at: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])

    def write(self, folder: Path) -> Path:
        """Keep it as <folder>/<name>.json."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
        return path
