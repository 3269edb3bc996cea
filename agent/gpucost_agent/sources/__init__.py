"""
I/O in, one room per outside world; reading and parsing are two functions, and parsing is pure.

May know gpucost and gpucost_agent.readings; no file here knows another program part, and none asks for the time
itself. Trouble is Retry, Reject or Stop of gpucost.trouble. pynvml is imported in driver/nvml.py only, grpc in
kubelet/pod_resources.py only, kubernetes in pods/kube_client.py only.
"""
