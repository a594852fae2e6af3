"""The contract: the events, their topics and their bytes. All that the stream and the services share.

Imports nothing of ours, so whoever holds this package can take part in the flow.
"""
