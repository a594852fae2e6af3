"""The routes, by who uses them. Each module ends in its table of rows."""
