-- Routes besides the modems. `orders.route` is NULL for these; `orders.plan` is the lane that an order began in.
ALTER TABLE orders ADD COLUMN route TEXT;
ALTER TABLE orders ADD COLUMN plan TEXT NOT NULL DEFAULT '';

ALTER TABLE attempts ADD COLUMN route TEXT NOT NULL DEFAULT 'modems';
ALTER TABLE attempts ADD COLUMN message_id TEXT COLLATE NOCASE;

-- The service centre's ids are not ours to choose: nothing says that they are unique.
CREATE INDEX attempts_message_id ON attempts (message_id, route) WHERE message_id IS NOT NULL;

-- Receipts that came before their message's id did, or that are nobody's.
CREATE TABLE orphan_receipts (
  seq INTEGER PRIMARY KEY,
  route TEXT NOT NULL,
  message_id TEXT NOT NULL COLLATE NOCASE,
  recipient TEXT,
  state TEXT NOT NULL,
  error_code TEXT,
  error_text TEXT,
  at INTEGER NOT NULL
) STRICT;

CREATE INDEX orphan_receipts_id ON orphan_receipts (message_id, route);

-- Messages that routes received, by what names them or by their content: recognised when they are delivered again.
CREATE TABLE arrivals (
  key BLOB PRIMARY KEY,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX arrivals_at ON arrivals (at);
