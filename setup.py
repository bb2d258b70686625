"""
Compiles the data path, for those who ask for it: ``MESHGATE_COMPILE=1 pip install .`` needs a C compiler, and all
works without, slower. Everything else about the package stands in setup.cfg.
"""

import os
import sys

from setuptools import Extension, setup

# They have no decorated classes, no bases but each other, and no attributes that come from nowhere: what is compiled
# could not have them.
COMPILED = (
    "meshgate/wire/hello_message.py",
    "meshgate/wire/clienthello.py",
    "meshgate/routing/lookup.py",
    "meshgate/routing/places.py",
    "meshgate/transport/wheel.py",
    "meshgate/transport/pipes.py",
    "meshgate/transport/poller.py",
    "meshgate/transport/lean_socket.py",
    "meshgate/transport/lean.py",
    "meshgate/transport/joining.py",
    "meshgate/transport/lean_port.py",
    "meshgate/transport/lean_dialing.py",
    "meshgate/proxy/record.py",
    "meshgate/proxy/log_line.py",
    "meshgate/proxy/accesslog.py",
    "meshgate/proxy/ended.py",
    "meshgate/proxy/clusters.py",
    "meshgate/proxy/relay.py",
    "meshgate/proxy/reaching.py",
    "meshgate/proxy/entrance.py",
    "meshgate/proxy/inbound.py",
    "meshgate/proxy/dataplane.py",
)

# What Python has no words for, or too many: each is a part of the module beside it that can do without.
IN_C = ["meshgate/wire/_hello", "meshgate/proxy/_line"]
if sys.platform == "linux":  # as the lean transport
    IN_C += ["meshgate/transport/_events", "meshgate/transport/_sockets"]

extensions = []
if os.environ.get("MESHGATE_COMPILE"):
    from mypyc.build import mypycify

    extensions = mypycify(list(COMPILED), opt_level="3", debug_level="0", group_name="meshgate_fast")
    extensions += [Extension(name.replace("/", "."), [f"{name}.c"]) for name in IN_C]

setup(ext_modules=extensions)
