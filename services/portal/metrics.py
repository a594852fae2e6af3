"""What the portal counts. No label names a partner."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("portal_requests_total", "Answers given", ["page", "status"])
SECONDS = Histogram(
    "portal_page_seconds",
    "Time to make a page",
    ["page"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
LIVE = Gauge("portal_live_streams", "Pages that are open and update by themselves")
SESSIONS = Counter("portal_sessions_total", "Sessions opened through a personal link", ["audience"])
REFUSED = Counter("portal_refused_total", "Requests refused: no session, another's page, a bad or old link", ["reason"])
PROJECTED = Counter("portal_projected_partners_total", "Times that a partner's rows were brought up to date")
