"""Reading a Dockerfile, as far as ours goes."""

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction: ``COPY --from=build a b`` is COPY, {"from": "build"}, "a b"."""

    name: str
    options: dict[str, str]
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
    return [_instruction(line) for line in lines if line.strip()]


def _instruction(line: str) -> Instruction:
    name, _, rest = line.strip().partition(" ")
    options = {}
    while found := re.match(r"\s*--([\w-]+)=(\S+)\s+", rest):
        options[found[1]] = found[2]
        rest = rest[found.end() :]
    return Instruction(name, options, rest.strip())
