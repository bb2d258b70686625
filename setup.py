"""
Compiles the data path, as far as a machine can: with a C compiler and Python's headers it is compiled, without them all
is there and slower. ``MESHGATE_COMPILE=1`` makes it an error if it cannot be compiled, ``MESHGATE_COMPILE=0`` leaves
it. An editable installation is never compiled: what is compiled no longer follows its sources. Everything else about
the package stands in setup.cfg.
"""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

# setuptools' own, which it has no other name for.
from distutils.ccompiler import new_compiler  # isort: skip
from distutils.sysconfig import customize_compiler  # isort: skip

# They have no decorated classes, no bases but each other, and no attributes that come from nowhere: what is compiled
# could not have them.
COMPILED = (
    "meshgate/wire/hello.py",
    "meshgate/wire/clienthello.py",
    "meshgate/routing/lookup.py",
    "meshgate/routing/endpoint_load.py",
    "meshgate/transport/wheel.py",
    "meshgate/transport/lean/pipes.py",
    "meshgate/transport/lean/poller.py",
    "meshgate/transport/lean/connected_socket.py",
    "meshgate/transport/lean/transport.py",
    "meshgate/transport/lean/joining.py",
    "meshgate/transport/lean/port.py",
    "meshgate/transport/lean/connecting.py",
    "meshgate/proxy/record.py",
    "meshgate/proxy/log_line.py",
    "meshgate/proxy/access_log.py",
    "meshgate/proxy/ended.py",
    "meshgate/proxy/clusters.py",
    "meshgate/proxy/racing.py",
    "meshgate/proxy/relay.py",
    "meshgate/proxy/reaching.py",
    "meshgate/proxy/entrance.py",
    "meshgate/proxy/connection.py",
    "meshgate/proxy/dataplane.py",
)

# What Python has no words for, or too many: each is a part of the module beside it that can do without.
IN_C = ["meshgate/wire/_hello", "meshgate/proxy/_line"]
if sys.platform == "linux":  # as the lean transport
    IN_C += ["meshgate/transport/lean/_events", "meshgate/transport/lean/_sockets"]

WANTED = os.environ.get("MESHGATE_COMPILE", "")


class Package(Distribution):
    """A package that is built for one machine: whether it can be compiled shows only while it is."""

    def has_ext_modules(self):
        """Whether anything may be compiled."""
        return WANTED != "0"


class Build(build):
    """What is installed; an editable installation runs its parts without it."""

    def run(self):
        """Build, with what is to be compiled laid out first."""
        if WANTED != "0":
            try:
                try_compiler()
                self.distribution.ext_modules = extensions()
            except (ImportError, BaseError, CCompilerError, OSError, SystemExit) as error:  # the last is how mypyc ends
                do_without(error)
        super().run()


class BuildExtensions(build_ext):
    """What is compiled: all of it or nothing, since its parts call each other past the interpreter."""

    def run(self):
        """Compile."""
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            do_without(error)
            for path in map(Path, self.get_outputs()):
                path.unlink(missing_ok=True)


def try_compiler():
    """Compile the smallest part, so that a machine that cannot does not wait for mypyc first."""
    compiler = new_compiler()
    customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as folder:
        include = [sysconfig.get_path("include"), sysconfig.get_path("platinclude")]
        compiler.compile([IN_C[0] + ".c"], output_dir=folder, include_dirs=include)


def extensions():
    """The modules in C, and those that mypyc makes C of; it reads the types of what they import as well."""
    from mypyc.build import mypycify

    modules = mypycify(list(COMPILED), opt_level="3", debug_level="0", group_name="meshgate_fast")
    return modules + [Extension(name.replace("/", "."), [f"{name}.c"]) for name in IN_C]


def do_without(error):
    """Go on without what cannot be compiled, unless it has to be."""
    if WANTED == "1":
        raise error
    print(f"meshgate is not compiled, and will be slower: {error}", file=sys.stderr)  # noqa: T201 - it is a script


setup(distclass=Package, cmdclass={"build": Build, "build_ext": BuildExtensions})
