"""How Staffel runs: what a process gets from its surroundings, the embedded stack, the command line, the demo."""
