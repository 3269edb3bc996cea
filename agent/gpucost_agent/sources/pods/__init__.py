"""Pods, by the API server or the kubelet: names, labels, owners, fractions. kube_client is the door to kubernetes."""
