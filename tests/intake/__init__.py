"""What comes in from outside: files, rows, and what becomes of them on Kafka."""
