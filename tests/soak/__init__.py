"""Jobs that are started, killed and published at random, beside a server that comes and goes."""
