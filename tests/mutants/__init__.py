"""How good the tests are: the code is changed in one place at a time, and some test must notice.

changes.py       the changes: a comparison turned, a number one higher, a call left out, …
trial.py         one change under the tests, in a forked process
targets.py       which modules are changed, and which tests must notice
equivalent.py    changes that no test can notice, each with the reason: equivalent.toml

``python -m tests.mutants streams/rules/terms.py`` tries a module and lists what nobody noticed.
"""
