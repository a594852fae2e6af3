"""Offices: how the portal shows and changes what another service owns, without its database and without its keys.

Each of payout and notification opens one: a small HTTP interface that only the portal calls. ``protocol`` is what both
sides know, ``server`` opens an office within a service's process, ``client`` asks one. Why not a shared database or a
topic: deploy/decisions/0020-offices.md.
"""
