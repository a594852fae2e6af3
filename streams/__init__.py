"""Sale events in, decisions out. The pipeline on one screen::

sales ────► agents.sales ────┐                           ┌─► tallies, sale-lines, positions   (state = output)
partners ─► agents.partners ─┼─► partition.Partition ────┼─► tier-changes
time ─────► agents.calendar ─┘   one lock, one memory,   ├─► weekly-summaries, quarter-closes
                                 one transaction a batch └─► sales-dead-letters
transport.py   hands an agent one slice of a partition at a time instead of one record
rules/         pure: what a record, a registration or a moment does to lines and tallies
held.py        a partition for one assignment, and the one thread on which everything happens to it
partition.py   a partition's state in memory, restored from the topics it is published in; knows no thread, no Faust
settling.py    when lines that nothing changes any more leave it
surroundings.py what it gets from outside: clients, clock, machine; a simulation hands in its own
assembly.py    the one place that wires; app.py is what ``faust -A streams.app worker`` finds
"""
