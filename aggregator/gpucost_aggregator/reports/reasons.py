"""Why something is not known: the reasons of time that is unobserved or unmeasured, in words."""

UNMEASURED = "unmeasured"
"""The reason of time whose holder is known, or that it was free, though not whether it was used."""

REASONS = {
    UNMEASURED: "its activity could not be read",
    "agent_gap": "the agent was away, and the holders changed meanwhile",
    "node_starting": "before the agent's first look",
    "kubelet_away": "the kubelet did not answer, so nobody knows who held it",
    "unmapped": "an id of the scheduler belongs to no known GPU, and this may be the one",
    "claims_hidden": "pods hold GPUs by resource claims that the kubelet does not list",
    "gpu_lost": "the GPU fell off the bus",
    "layout_unknown": "the driver did not say how the GPU is cut into MIG devices",
    "spool_full": "the agent's spool was full",
}


def words_of(reason: str) -> str:
    """*reason* in words; one of a newer agent by its own name."""
    return REASONS.get(reason, reason.replace("_", " "))
