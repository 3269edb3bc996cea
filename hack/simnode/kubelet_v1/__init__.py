"""The pod-resources messages, generated from api.proto by `python -m simnode.kubelet_v1.generate`."""
