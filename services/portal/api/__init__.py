"""The portal's data for partners' own systems, as JSON, under ``/api/v1``."""
