"""What every process gets from its surroundings: settings, clock, logs, health and metrics, Kafka clients.

Knows the contract and nothing else of ours; the stream, the services and the command line all stand on it.
"""
