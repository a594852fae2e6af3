"""``rebuild`` on a real broker: finds what was broken on purpose, mends it, and leaves a sound system alone."""
