"""The stream under simulation: the real partitions, rules and agents; broker, clock and threads are decided by a seed.

broker.py      a broker that keeps Kafka's promises, in memory; clients.py speaks confluent-kafka's interface to it
loop.py        asyncio's loop and a partition's thread, one step at a time
worker.py      a worker process around the product's own ``Owned``, agents and partitions
traffic.py     what reporters, the registry and strangers write
world.py       one run: who acts next, what goes wrong, when it ends
checks.py      what must hold, from the broker's committed records alone
planted.py     known holes, put back one at a time: the simulation must find each

``python -m tests.simulation --runs 2000`` searches; ``--seed N --trace`` shows one run.
"""
