"""Payout's office: what the portal may ask about money, and have done, on behalf of partners and of the vendor's staff.

Each module has a table of operations, with the role that each needs; ``opening`` puts them together. They call what the
command line calls. Accounts leave the office masked; the one way out for a whole one is a run's file, for those who
approve runs.
"""
