-- Modems that were ever identified: the name follows the IMEI, `iccid` is of the SIM that was in it last.

CREATE TABLE modems (
  key TEXT PRIMARY KEY,
  name TEXT,
  imei TEXT,
  iccid TEXT,
  previous_iccid TEXT,
  model TEXT,
  usb_path TEXT,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  pin_key TEXT,
  pin_iccid TEXT
) STRICT, WITHOUT ROWID;
