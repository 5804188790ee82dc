"""``python -m benchmarks.size``: how large the wheel and an installation are.

Builds the package and installs it into a new environment, so it needs a package index.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.support.wheel import Environment, build, copy_sources


def megabytes(files: Iterable[Path]) -> float:
    """Bytes of files, in millions."""
    return sum(file.lstat().st_size for file in files if not file.is_dir()) / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel = build(copy_sources(folder / "sources"), folder / "dist")
        environment = Environment(folder / "environment")
        rows = [("wheel", megabytes([wheel]))]
        for what, extra in (
            ("installed, with what predicting needs", ""),
            ("installed with `[serve]`", "[serve]"),
        ):
            environment.install(f"{wheel}{extra}")
            rows.append((what, megabytes(environment.packages().rglob("*"))))
    print("| size | MB |\n|---|---|")
    for what, size in rows:
        print(f"| {what} | {size:.1f} |" if size < 10 else f"| {what} | {size:.0f} |")


if __name__ == "__main__":
    main()
