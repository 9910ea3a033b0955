-- What each SIM has sent, by local day, and to whom; and which SIM a number knows. Days are YYYY-MM-DD.

CREATE TABLE sim_usage (
  sim TEXT NOT NULL,
  day TEXT NOT NULL,
  parts INTEGER NOT NULL,
  PRIMARY KEY (sim, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE sim_recipients (
  sim TEXT NOT NULL,
  number TEXT NOT NULL,
  day TEXT NOT NULL,
  PRIMARY KEY (sim, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
  number TEXT PRIMARY KEY,
  sim TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX conversations_at ON conversations (at);
