"""The auditor's recount, held against the rules and against a real stream."""
