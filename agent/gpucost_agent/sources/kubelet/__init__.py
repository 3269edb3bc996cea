"""The kubelet's socket and files, and the DRA driver's: which container was given which device."""
