"""What is wrong with a configuration: all of it at once, each with its place and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. `line` and `column` count from 1; 0: the file as a whole."""

    file: str
    line: int
    column: int
    path: str  # the key, as in `modems[0].pin`
    message: str  # what is wrong
    hint: str = ""  # what to write instead

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        text = f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"
        return f"{text}; {self.hint}" if self.hint else text

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class ConfigError(Exception):
    """The configuration cannot be used; `problems` is never empty and stands in the file's order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
