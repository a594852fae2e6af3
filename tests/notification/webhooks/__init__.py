"""Webhooks, on real databases and against a real HTTPS server."""
