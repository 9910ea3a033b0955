-- Times are UTC milliseconds since 1970. Rows of `orders` are one message to one recipient.

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `seq` of orders and outbox never comes twice: the highest ever given stands in `meta` when rows are deleted.
CREATE TABLE orders (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  recipient TEXT NOT NULL,
  state TEXT NOT NULL,
  stage TEXT NOT NULL,
  lane TEXT NOT NULL,
  precedence INTEGER NOT NULL,
  fingerprint BLOB NOT NULL,
  text TEXT,
  data BLOB,
  port INTEGER,
  modem_wanted TEXT NOT NULL,
  route_wanted TEXT NOT NULL,
  flash INTEGER NOT NULL,
  validity INTEGER NOT NULL,
  send_at INTEGER,
  deadline INTEGER,
  delivery_report INTEGER NOT NULL,
  on_unknown TEXT NOT NULL,
  encoding_wanted TEXT NOT NULL,
  transaction_json TEXT NOT NULL,
  source TEXT NOT NULL,
  accepted_at INTEGER NOT NULL,
  parts INTEGER NOT NULL,
  encoding TEXT NOT NULL,
  state_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  resends INTEGER NOT NULL,
  parts_sent INTEGER NOT NULL,
  modem TEXT,
  sim TEXT,
  not_before INTEGER,
  bound_until INTEGER,
  excluded TEXT NOT NULL,
  error_code TEXT,
  error_text TEXT,
  error_retryable INTEGER NOT NULL
) STRICT;

CREATE INDEX orders_id ON orders (id);
CREATE INDEX orders_open ON orders (lane, precedence, seq, stage) WHERE stage IN ('ready', 'busy');
CREATE INDEX orders_held ON orders (send_at) WHERE stage = 'held';
CREATE INDEX orders_deadline ON orders (deadline) WHERE deadline IS NOT NULL AND stage IN ('held', 'ready');
CREATE INDEX orders_bound ON orders (bound_until) WHERE bound_until IS NOT NULL AND stage = 'ready';

-- Which delivery by the broker made which order; only the recent ones are kept.
CREATE TABLE delivery_keys (
  order_seq INTEGER PRIMARY KEY,
  key INTEGER NOT NULL
) STRICT;

CREATE INDEX delivery_keys_key ON delivery_keys (key);

-- Every try to hand one part to the network; `n` counts the tries of one order from 1.
CREATE TABLE attempts (
  order_seq INTEGER NOT NULL REFERENCES orders (seq) ON DELETE CASCADE,
  n INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  part INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  state TEXT NOT NULL,
  modem TEXT NOT NULL,
  sim TEXT NOT NULL,
  recipient TEXT NOT NULL,
  began_at INTEGER NOT NULL,
  ended_at INTEGER,
  mr INTEGER,
  error_code TEXT,
  error_text TEXT,
  report_status INTEGER,
  report_weak INTEGER NOT NULL,
  PRIMARY KEY (order_seq, n)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_mr ON attempts (sim, mr, began_at) WHERE mr IS NOT NULL;
CREATE INDEX attempts_unknown ON attempts (sim, began_at) WHERE state = 'unknown';

CREATE TABLE orphan_reports (
  seq INTEGER PRIMARY KEY,
  sim TEXT NOT NULL,
  mr INTEGER NOT NULL,
  number TEXT NOT NULL,
  status INTEGER NOT NULL,
  sent_at INTEGER,
  received_at INTEGER NOT NULL
) STRICT;

CREATE INDEX orphan_reports_mr ON orphan_reports (sim, mr);

-- Received messages; in pieces until all parts are there.
CREATE TABLE inbound (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  scope TEXT NOT NULL,
  modem TEXT NOT NULL,
  sender TEXT NOT NULL,
  state TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  sent_at INTEGER,
  total INTEGER NOT NULL,
  have INTEGER NOT NULL,
  ref INTEGER,
  bits INTEGER,
  partial_at INTEGER,
  payload TEXT NOT NULL
) STRICT;

CREATE INDEX inbound_open ON inbound (scope, sender, ref) WHERE state IN ('collecting', 'partial');
CREATE INDEX inbound_due ON inbound (partial_at) WHERE state = 'collecting';

-- Received PDUs as they came.
CREATE TABLE inbound_parts (
  seq INTEGER PRIMARY KEY,
  content_key BLOB NOT NULL,
  body_key BLOB NOT NULL,
  set_seq INTEGER NOT NULL REFERENCES inbound (seq) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  raw TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  sent_at INTEGER,
  storage TEXT NOT NULL,
  idx INTEGER
) STRICT;

CREATE INDEX inbound_parts_content ON inbound_parts (content_key);
CREATE INDEX inbound_parts_set ON inbound_parts (set_seq, number);

-- What could not be understood.
CREATE TABLE quarantine (
  seq INTEGER PRIMARY KEY,
  content_key BLOB NOT NULL UNIQUE,
  raw TEXT NOT NULL,
  error TEXT NOT NULL,
  modem TEXT NOT NULL,
  scope TEXT NOT NULL,
  storage TEXT NOT NULL,
  idx INTEGER,
  received_at INTEGER NOT NULL
) STRICT;

-- What is to be published, in this order; rows go when they were.
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
