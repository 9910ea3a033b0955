"""What comes in and goes out as JSON, one validator for each: MQTT and HTTP read and write the same."""
