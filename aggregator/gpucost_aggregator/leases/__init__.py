"""
The lease of several aggregators over one store: a Lease object of Kubernetes, taken and renewed.

May know gpucost and the API server's door in access; knows nothing of what is done under it.
"""
