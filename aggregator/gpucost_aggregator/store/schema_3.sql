-- Version 3: books that the aggregator closes, what adjusts them, and what the clusters' watchers say.

-- When the aggregator closed these books, as nobody else will; NULL while they are open.
ALTER TABLE progress ADD COLUMN gone_at_ns BIGINT;

-- What changes of slices, which themselves never do: their keys with signed differences. Sums are over both tables.
CREATE TABLE adjustments AS FROM slices LIMIT 0;
ALTER TABLE adjustments ADD COLUMN adjustment_reason VARCHAR;
ALTER TABLE adjustments ADD COLUMN made_at_ns BIGINT;
ALTER TABLE adjustments ADD COLUMN number BIGINT;

-- Those slices again that stand for lost time, by the window of the fleet that they lie in: few, and found at once.
CREATE TABLE synthetic AS FROM slices LIMIT 0;
ALTER TABLE synthetic ADD COLUMN aligned_ns BIGINT;

-- When a GPU was watched in windows that its slices do not fill: it came late, or the books were closed early.
CREATE TABLE partial_windows (
    cluster VARCHAR NOT NULL,
    node VARCHAR NOT NULL,
    gpu_uuid VARCHAR NOT NULL,
    window_start_ns BIGINT NOT NULL,
    start_ns BIGINT NOT NULL,
    end_ns BIGINT NOT NULL
);

-- GPUs that two nodes have slices of in the same windows, which at most one of them can be right about.
CREATE TABLE shared_gpus (
    gpu_uuid VARCHAR NOT NULL,
    cluster VARCHAR NOT NULL,
    node VARCHAR NOT NULL,
    other_cluster VARCHAR NOT NULL,
    other_node VARCHAR NOT NULL,
    first_window_ns BIGINT NOT NULL,
    last_window_ns BIGINT NOT NULL,
    windows BIGINT NOT NULL
);

-- What the clusters' watchers said last. Requests and labels are JSON objects with their keys in order.
CREATE TABLE cluster_nodes (
    cluster VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    uid VARCHAR NOT NULL,
    labels VARCHAR NOT NULL,
    created_at_ns BIGINT NOT NULL,
    seen_at_ns BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL
);

CREATE TABLE cluster_namespaces (
    cluster VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    labels VARCHAR NOT NULL,
    seen_at_ns BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL
);

CREATE TABLE waiting_pods (
    cluster VARCHAR NOT NULL,
    namespace VARCHAR NOT NULL,
    pod VARCHAR NOT NULL,
    pod_uid VARCHAR NOT NULL,
    waiting_since_ns BIGINT NOT NULL,
    requests VARCHAR NOT NULL,
    seen_at_ns BIGINT NOT NULL
);

CREATE TABLE watched_clusters (
    cluster VARCHAR NOT NULL,
    seen_at_ns BIGINT NOT NULL
);
