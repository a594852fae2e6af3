from services.kit.database import run_migrations
from services.payout.tables import metadata

run_migrations(metadata)
