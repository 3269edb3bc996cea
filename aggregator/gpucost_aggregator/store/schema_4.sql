-- Version 4: the messages of malformed batches lie beside the database, where their length costs no memory.

-- By what the message is found, and its length; NULL for one of an older version, which stands in `message`.
ALTER TABLE malformed_batches ADD COLUMN message_sha256 BLOB;
ALTER TABLE malformed_batches ADD COLUMN message_bytes BIGINT;
