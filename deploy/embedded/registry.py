"""Apicurio Registry, with Confluent's API at ``/apis/ccompat/v7``, durable in ``DATA/registry`` (an H2 file)."""

from __future__ import annotations

from pathlib import Path

from deploy.embedded.java import Java
from deploy.runtime.settings import Port, Settings

HEAP_MB = 384


def prepare(settings: Settings, java: Java, program: Path) -> list[str]:
    """Make the folder and answer the command that runs the registry."""
    folder = settings.data.resolve() / "registry"
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": settings.port(Port.REGISTRY),
        # Its health page can't be turned off; left alone it would take port 9000 on every address.
        "quarkus.management.host": "127.0.0.1",
        "quarkus.management.port": 0,
        "quarkus.log.level": "WARN",
        "quarkus.banner.enabled": "false",
        # Its default, memory, would lose the ids that the records in Kafka carry.
        "apicurio.storage.kind": "sql",
        "apicurio.storage.sql.kind": "h2",
        "apicurio.datasource.url": f"jdbc:h2:file:{folder}/registry",
    }
    flags = [f"-D{key}={value}" for key, value in options.items()]
    return java.command(HEAP_MB, flags, ["-jar", str(program / "quarkus-run.jar")])
