"""
The contract: what the agent, the aggregator and the command line mean by the same words.

May know the standard library and its own generated protobuf; knows neither program.
"""

__version__ = "0.1.0"
