"""From a quarter's close to a payment file: what is owed, whether it may be paid, and the one time it is paid.

An **obligation** is what one revision of a close made payable; below zero it is a clawback. It is always in one state:

* ``recorded``: booked, not looked at yet. Nothing is published.
* ``held``: must not be paid, and the reason says why (``holds`` has them all, and what ends each). Looked at again
  whenever something about the partner changes, or a day comes on which the reason ends.
* ``waiting``: earned, but there are no bank details, or a bank refused them. Becomes payable with others.
* ``payable``: agrees with the recount and can be paid. A clawback that agrees is payable too: it waits to be set off.
* ``in_payment``: in a payment file that was handed over.
* ``paid``: the account was debited.
* ``returned``: the bank refused its payment or sent the money back. Owed again, and looked at again at once.
* ``netted``: set off. Either a clawback inside a payment, or all that a partner has open when it sums to exactly zero.

A **run** pays each partner the sum of his payable obligations in one payment, if it is above zero. If not, nothing
happens to them: they stay payable and are carried into the next run. Held and waiting ones are left out of the sum.
It is prepared on each bank day, approved by somebody who did not prepare it, and released: only then anything is
booked. One that is not released before its day, or in which something has changed, is given up.

The **ledger** has ``expense:rebate``, ``asset:bank:in_transit``, ``asset:bank`` and, for each partner,
``liability:payable:<partner>`` with what the vendor owes him; a partner in debt after a clawback has it on the other
side. Recording books expense to liability, a payment books liability to in-transit, its debit in-transit to bank; a
refused payment's booking is reversed, a returned one is booked from the bank back to the liability. Nothing is ever
changed or deleted, and each journal hangs on the one before it by a hash (``chain``, ``audit``). An amount that becomes
payable keeps the hash of what it was counted from (``inputs``).

A payment cannot be made twice: an obligation has at most one active settlement (a unique index), whatever run takes
hold of it; identifiers follow from day and partner; the file is stored when the run is prepared and never made again;
and the release is one transaction under the lock of the run's row.
"""
