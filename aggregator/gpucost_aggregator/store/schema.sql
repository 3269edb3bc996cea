-- The embedded store, version 1. Names of slice columns are those of a slice as CSV.
-- Times are nanoseconds since 1970 UTC, money nano-dollars. NULL is not known; an empty text is none.
-- No primary keys: an index costs three times the disk and halves the rate. One writer keeps keys unique.

CREATE TABLE store (
    store_id VARCHAR NOT NULL,
    generation BIGINT NOT NULL,
    schema_version BIGINT NOT NULL
);

CREATE TABLE slices (
    cluster VARCHAR NOT NULL,
    node VARCHAR NOT NULL,
    gpu_uuid VARCHAR NOT NULL,
    gi BIGINT,
    ci BIGINT,
    profile VARCHAR NOT NULL,
    placement BIGINT,
    resource VARCHAR NOT NULL,
    holder_kind VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    namespace VARCHAR NOT NULL,
    pod VARCHAR NOT NULL,
    pod_uid VARCHAR NOT NULL,
    container VARCHAR NOT NULL,
    window_start_ns BIGINT NOT NULL,
    length_ns BIGINT NOT NULL,
    reserved_ns BIGINT NOT NULL,
    used_ns BIGINT NOT NULL,
    idle_ns BIGINT NOT NULL,
    unmeasured_ns BIGINT NOT NULL,
    cost_nanodollars BIGINT NOT NULL,
    cost_used_nanodollars BIGINT NOT NULL,
    cost_idle_nanodollars BIGINT NOT NULL,
    cost_unmeasured_nanodollars BIGINT NOT NULL,
    cost_reserved_nanodollars BIGINT NOT NULL,
    price_nanodollars_per_hour BIGINT,
    price_source VARCHAR NOT NULL,
    price_date VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    watched_ns BIGINT NOT NULL,
    samples BIGINT NOT NULL,
    weight_numerator BIGINT NOT NULL,
    weight_denominator BIGINT NOT NULL,
    memory_held_bytes_max BIGINT,
    sm_active_ns BIGINT,
    tensor_active_ns BIGINT,
    dram_active_ns BIGINT,
    energy_uj BIGINT,
    requests BIGINT,
    flags VARCHAR NOT NULL,
    policy_version VARCHAR NOT NULL
);

-- Slices whose key was known already with other content: the first content stands in slices, the others here.
CREATE TABLE conflicts AS FROM slices LIMIT 0;
ALTER TABLE conflicts ADD COLUMN epoch VARCHAR;
ALTER TABLE conflicts ADD COLUMN sequence_number BIGINT;
ALTER TABLE conflicts ADD COLUMN received_at_ns BIGINT;

-- Slices that can never be accepted, whole. Their cost may pass what a slice can hold.
CREATE TABLE quarantine AS FROM conflicts LIMIT 0;
ALTER TABLE quarantine ALTER COLUMN cost_nanodollars TYPE HUGEINT;
ALTER TABLE quarantine ADD COLUMN refused_because VARCHAR;

-- Batches that are not even tables of slices, as they came.
CREATE TABLE malformed_batches (
    cluster VARCHAR NOT NULL,
    node VARCHAR NOT NULL,
    epoch VARCHAR NOT NULL,
    sequence_number BIGINT NOT NULL,
    received_at_ns BIGINT NOT NULL,
    refused_because VARCHAR NOT NULL,
    message BLOB NOT NULL
);

CREATE TABLE agents (
    cluster VARCHAR NOT NULL,
    node VARCHAR NOT NULL,
    epoch VARCHAR NOT NULL,
    sequence_number BIGINT NOT NULL,
    sha256 BLOB NOT NULL
);

CREATE TABLE progress (
    cluster VARCHAR NOT NULL,
    node VARCHAR NOT NULL,
    boot_id VARCHAR NOT NULL,
    window_ns BIGINT NOT NULL,
    closed_through_ns BIGINT NOT NULL,
    last_heard_ns BIGINT NOT NULL
);

-- Labels or annotations, each combination once, as a JSON object with its keys in order.
CREATE TABLE label_sets (
    label_set_id BIGINT NOT NULL,
    content VARCHAR NOT NULL
);

CREATE TABLE workloads (
    cluster VARCHAR NOT NULL,
    namespace VARCHAR NOT NULL,
    pod VARCHAR NOT NULL,
    pod_uid VARCHAR NOT NULL,
    valid_from_ns BIGINT NOT NULL,
    labels_id BIGINT NOT NULL,
    annotations_id BIGINT NOT NULL,
    owner_kind VARCHAR NOT NULL,
    owner_name VARCHAR NOT NULL,
    received_at_ns BIGINT NOT NULL
);

CREATE TABLE gpus (
    cluster VARCHAR NOT NULL,
    gpu_uuid VARCHAR NOT NULL,
    valid_from_ns BIGINT NOT NULL,
    model VARCHAR NOT NULL,
    memory_bytes BIGINT,
    instance_type VARCHAR NOT NULL,
    region VARCHAR NOT NULL,
    received_at_ns BIGINT NOT NULL
);
