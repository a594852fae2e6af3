"""What outsiders rely on: published schemas, bytes, headers, keys, and what each field may say about a person."""
