-- What version 2 of the store adds to version 1; run once on a store of version 1, and on a new one after schema.sql.

-- What waits has a number that an operator can name; a replayed row stays, and counts no more.
ALTER TABLE quarantine ADD COLUMN quarantine_id BIGINT;
ALTER TABLE quarantine ADD COLUMN tried_at_ns BIGINT;
ALTER TABLE quarantine ADD COLUMN replayed_at_ns BIGINT;
ALTER TABLE malformed_batches ADD COLUMN quarantine_id BIGINT;
ALTER TABLE malformed_batches ADD COLUMN tried_at_ns BIGINT;
ALTER TABLE malformed_batches ADD COLUMN replayed_at_ns BIGINT;
UPDATE quarantine SET quarantine_id = rowid + 1;
UPDATE malformed_batches SET quarantine_id = rowid + 1;
