"""`python -m jobs`, the same as the console script `mljobs`."""

from jobs.cli import main

main()
