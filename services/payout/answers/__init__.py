"""What the bank says to a payment file, and what follows from it.

``document`` opens XML that comes from outside, ``pain002`` and ``camt`` read it into the plain records of ``messages``;
none of these knows a database. ``rules`` says, purely, what a statement of the bank means for a payment in some state.
``apply`` does it: one file, one transaction. ``folder`` feeds it, ``overview`` shows what came of it.

* A **status report** (pain.002) says that the bank takes a payment, or why not. It never says that money has moved.
* A **statement** or notice (camt.052, .053, .054) has a line for each movement of the account. Only a debit under our
  end-to-end id settles a payment; a credit under it that says why is a return, days later perhaps.

The same statement of the bank may come many times and in any order: the end is the same. What does not fit is never
guessed at: it becomes a row of ``bank_unmatched``, for somebody to look at. Silence means nothing; it is only told.
"""
