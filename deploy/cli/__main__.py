"""``python -m deploy.cli``: what the launcher hands over to."""

from deploy.cli.main import main

main()
