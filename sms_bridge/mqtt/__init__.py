"""MQTT: the link to the broker, orders in, statuses and messages out, retained states, requests, a managed broker."""
