-- Answers that are waited for, one row a recipient. `tail`: the last seven digits, for senders in national form.
CREATE TABLE questions (
  order_seq INTEGER PRIMARY KEY REFERENCES orders (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  recipient TEXT NOT NULL,
  tail TEXT NOT NULL,
  token TEXT,
  state TEXT NOT NULL,
  expires_at INTEGER,
  helped INTEGER NOT NULL,
  within_ms INTEGER NOT NULL,
  expect TEXT NOT NULL
) STRICT;

CREATE INDEX questions_recipient ON questions (recipient, order_seq);
CREATE INDEX questions_tail ON questions (tail, order_seq);
CREATE INDEX questions_new ON questions (order_seq) WHERE state = 'new';
CREATE INDEX questions_due ON questions (expires_at) WHERE state = 'open';

-- Steps of escalations; `order_seq` is the first recipient's order.
CREATE TABLE escalations (
  order_seq INTEGER NOT NULL REFERENCES orders (seq) ON DELETE CASCADE,
  n INTEGER NOT NULL,
  state TEXT NOT NULL,
  due_at INTEGER,
  until TEXT NOT NULL,
  expires INTEGER NOT NULL,
  after_ms INTEGER NOT NULL,
  step TEXT NOT NULL,
  expect TEXT,
  made TEXT,
  PRIMARY KEY (order_seq, n)
) STRICT, WITHOUT ROWID;

CREATE INDEX escalations_due ON escalations (due_at) WHERE state = 'waits';

-- When who got an automatic answer, the last few; a JSON list of UTC milliseconds.
CREATE TABLE auto_answers (
  peer TEXT PRIMARY KEY,
  times TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
