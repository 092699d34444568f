"""What an audit finds."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Something that must not be."""

    kind: Literal["lost", "doubled", "wrong status"]
    run: str
    why: str
