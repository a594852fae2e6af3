"""The partner's document: what a payment is made of, or why money that moved in the books did not reach his account.

A **statement** is issued once, when something happened to a partner's money, and never changed or made again:

* ``payment``: a payment was released. One for each payment, listing every obligation that it covers, clawbacks too.
* ``set_off``: what a partner had open summed to exactly zero, and so was settled without a payment.
* ``carried``: a clawback is more than what could be set against it. It is carried forward to his next payment.

A close without a rebate moves nothing, and there is no statement of it. Nor is there one of money that came back from
the bank: the statement of the payment that then replaces it says so.

Numbers are free of gaps, within a year and over all partners: a number is allotted in the transaction that stores the
bytes. What a statement was made of is frozen beside them as JSON. Both are append-only. The folder from which the
portal serves them follows the database and is made anew from it where something is missing.
"""
