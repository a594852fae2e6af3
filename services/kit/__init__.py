"""Plumbing of the services, with no business word in it: database, consumer with its offsets in it, links."""
