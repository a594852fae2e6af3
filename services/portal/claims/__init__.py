"""Claims: sales that a partner misses and reports himself, with proof; the vendor decides whether they count."""
