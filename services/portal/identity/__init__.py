"""Who somebody is: the vendor's people with their passwords, second factors, and how often one may try."""
