"""From a quarter's close to a payment file: what is owed, whether it may be paid, and the one time it is paid.

An **obligation** is what one revision of a close made payable; below zero it is a clawback. It is always in one state:

* ``recorded``: booked, not looked at yet. Nothing is published.
* ``held``: must not be paid, and the reason says why. Looked at again whenever something about the partner changes.
* ``waiting``: earned, but there are no bank details. Becomes payable with them.
* ``payable``: agrees with the recount and can be paid. A clawback that agrees is payable too: it waits to be set off.
* ``in_payment``: in a payment file. Final here; what the bank says to it is told by its answers.
* ``netted``: set off. Either a clawback inside a payment, or all that a partner has open when it sums to exactly zero.

A **run** pays each partner the sum of his payable obligations in one payment, if it is above zero. If not, nothing
happens to them: they stay payable and are carried into the next run. Held and waiting ones are left out of the sum.

The **ledger** has ``expense:rebate``, ``asset:bank:in_transit`` and, for each partner, ``liability:payable:<partner>``
with what the vendor owes him; a partner in debt after a clawback has it on the other side.
Recording books expense to liability, a payment books liability to in-transit. Nothing is ever changed or deleted, and
each journal hangs on the one before it by a hash (``chain``, ``audit``). An amount that becomes payable keeps the hash
of what it was counted from (``inputs``).

A payment cannot be made twice: an obligation has at most one active settlement (a unique index), a bank day has at most
one run (a primary key), identifiers follow from day and partner, and the file is stored in the transaction that makes
the payments and never made again.
"""
