"""The demo: a made-up quarter, played through the real stack, and recounted by somebody who shares no code with it."""
