"""The auditor's view: everything that was reported, counted again by other means, beside what was published.

``recount`` is one page of plain Python that shares no code with the rules of the stream; ``verify`` reads the topics,
as anybody may, and compares. Nothing here writes anything.
"""
