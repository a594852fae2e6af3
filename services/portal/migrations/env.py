from services.kit.database import run_migrations
from services.portal import tokens  # noqa: F401  # a table of its own
from services.portal.claims import tables as claims  # noqa: F401  # the same
from services.portal.identity import tables as identity  # noqa: F401  # the same
from services.portal.tables import metadata

run_migrations(metadata)
