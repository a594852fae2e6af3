from services.kit.database import run_migrations
from services.notification.tables import metadata

run_migrations(metadata)
