"""The command line: ``./staffel COMMAND``. Says what it did on stdout, what went wrong and why on stderr."""
