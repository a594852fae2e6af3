"""Work lists of the vendor's staff, from the read model: what conflicts, what does not count, what a close needs."""
