"""The rules of the programme: pure functions of facts. No clock, no I/O, no log, no framework."""
