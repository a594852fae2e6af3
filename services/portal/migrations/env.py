from services.kit.database import run_migrations
from services.portal.tables import metadata

run_migrations(metadata)
