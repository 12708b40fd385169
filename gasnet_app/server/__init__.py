"""What stands around the page on a server: `python -m gasnet_app.server`, which `gasnet serve` starts.

It is `panel serve` with health, metrics, logs and a login page of its own; the page itself needs none of it.
"""
