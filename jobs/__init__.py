"""One-shot training-and-evaluation jobs with an exit code that a scheduler can act on."""

__version__ = "0.1.0"
