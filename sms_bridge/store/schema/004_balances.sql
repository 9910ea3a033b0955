-- What is known of each SIM's account; a SIM without a readable ICCID goes by its modem.
CREATE TABLE balances (
  sim TEXT PRIMARY KEY,
  amount TEXT,
  currency TEXT,
  expires TEXT,
  checked_at INTEGER,
  asked_at INTEGER,
  sms_times TEXT NOT NULL,
  low_told INTEGER NOT NULL,
  expiry_told TEXT
) STRICT, WITHOUT ROWID;
