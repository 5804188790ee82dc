"""Reading a Dockerfile, as far as ours goes."""

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction: ``COPY --from=build a b`` is COPY, "--from=build ", "a b"."""

    name: str
    options: str
    rest: str

    def words(self) -> list[str]:
        """What follows, as JSON where it is JSON, else by spaces."""
        if not self.rest.startswith("["):
            return self.rest.split()
        found: list[str] = json.loads(self.rest)
        return found


def read_dockerfile(path: Path) -> list[Instruction]:
    """All instructions in order."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    parts = (re.match(r"\s*(\w+)\s+((?:--\S+\s+)*)(.*\S)", line) for line in lines)
    return [Instruction(*found.groups()) for found in parts if found]
