"""
I/O in, one file per outside world; reading and parsing are two functions, and parsing is pure.

May know gpucost and gpucost_agent.readings; no file here knows another program part, and none asks for the time
itself. Trouble is Retry, Reject or Stop of gpucost.trouble. pynvml is imported in nvml.py only, grpc in
pod_resources.py only, kubernetes in kube_pods.py only.
"""
