"""The stack that one command starts on one machine: Kafka, schema registry, mail catcher, and our processes.

``Stack`` (``deploy.embedded.stack``) is the whole; ``python -m deploy.embedded.mail`` is the mail catcher alone.
"""
