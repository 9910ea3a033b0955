-- What webhooks are to be told; a trigger on `outbox`, made where there are webhooks, writes it in the same commit.
CREATE TABLE feed (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;

-- `seen`: the row of `feed` up to which a webhook has taken everything; `target` tells one address from another.
CREATE TABLE webhooks (
  name TEXT PRIMARY KEY,
  target TEXT NOT NULL,
  seen INTEGER NOT NULL,
  disabled INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
