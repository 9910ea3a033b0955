-- When an order expires that was given a time to live: by the clock of that run of the machine (`boot`), which may turn
-- out to be wrong. `orders.deadline` is the earlier of it and `fixed`, a deadline that a person wrote.
CREATE TABLE expiries (
  order_seq INTEGER PRIMARY KEY REFERENCES orders (seq) ON DELETE CASCADE,
  expires_at INTEGER NOT NULL,
  fixed INTEGER,
  boot TEXT NOT NULL
) STRICT;

-- Modems that leave an order to others for a while.
CREATE TABLE avoided (
  order_seq INTEGER NOT NULL REFERENCES orders (seq) ON DELETE CASCADE,
  modem TEXT NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (order_seq, modem)
) STRICT, WITHOUT ROWID;

-- What was seen on each SIM, by its content alone: recognised when it is read again, long after its text was purged.
-- `seq` is new each time it is seen.
CREATE TABLE contents (
  content_key BLOB PRIMARY KEY,
  scope TEXT NOT NULL,
  seq INTEGER NOT NULL,
  copies INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO contents (content_key, scope, seq, copies)
  SELECT p.content_key, i.scope, max(p.seq), count(*)
  FROM inbound_parts p JOIN inbound i ON i.seq = p.set_seq GROUP BY p.content_key;

INSERT OR IGNORE INTO contents (content_key, scope, seq, copies)
  SELECT content_key, scope, seq + (SELECT coalesce(max(seq), 0) FROM inbound_parts), 1 FROM quarantine;

CREATE INDEX contents_seq ON contents (seq);
CREATE INDEX contents_scope ON contents (scope, seq);

DROP INDEX inbound_parts_content;

ALTER TABLE inbound_parts DROP COLUMN content_key;

-- For how long the bridge had run, in ms, when a table had no higher number than this: that is how rows grow old.
CREATE TABLE age_notes (
  name TEXT NOT NULL,
  ran INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (name, ran)
) STRICT, WITHOUT ROWID;
