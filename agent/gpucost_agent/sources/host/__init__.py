"""The host's files: whose a process is, and whose a container."""
