"""HTTP: the REST interface, live events, health, metrics, and webhooks."""
