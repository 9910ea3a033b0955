-- Contacts and groups that were added by request; `details` is JSON. Those of the configuration are not here.
CREATE TABLE people (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  details TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
