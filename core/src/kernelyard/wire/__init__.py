"""The Jupyter message protocol, version 5.4, and the clients that speak it.

Pure, without a socket: `message` (build, sign, verify), `requests` (what each request says), `result` (what came
of a cell), `exchange` (which message answers which request). At the edge: `sockets` (ZeroMQ on an asyncio loop),
`channels`, `heartbeat`. On top: `client`. `session` is for programs that write messages themselves.
"""
