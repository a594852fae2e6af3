"""What comes in from outside: partners, bank details, sales; and the topics that they go to."""
