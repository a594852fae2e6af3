"""What ``faust -A streams.app worker`` finds. Nothing imports this module."""

from deploy.runtime import logs
from deploy.runtime.settings import load
from streams.assembly import create_app

_settings = load().settings
logs.configure(_settings, "streams")
app = create_app(_settings)
