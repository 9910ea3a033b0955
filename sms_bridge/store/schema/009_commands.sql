-- Commands by SMS that are to be published. `boot` is the run of the machine: in another one it is too late for them.
CREATE TABLE dispatches (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  command TEXT NOT NULL,
  message TEXT NOT NULL,
  contact TEXT,
  topic TEXT NOT NULL,
  payload TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  boot TEXT NOT NULL
) STRICT;
