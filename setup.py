"""
Compiles the data path where there are a C compiler and Python's headers; without them everything works and is slower.

``MESHGATE_COMPILE=1`` makes a failure to compile an error, ``MESHGATE_COMPILE=0`` compiles nothing. An editable
installation is never compiled: extension modules would not follow their sources. Everything else about the package is
in setup.cfg.
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

# setuptools' own copy of distutils, for which it has no other name.
from distutils.ccompiler import new_compiler  # isort: skip
from distutils.sysconfig import customize_compiler  # isort: skip

# Modules that mypyc compiles. Their classes have no decorators, no bases but each other, and declare all attributes:
# mypyc makes slow classes of others, or none. So classImplements names their interfaces in place of @implementer.
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
    "meshgate/proxy/connection_counts.py",
    "meshgate/proxy/log_line.py",
    "meshgate/proxy/access_log.py",
    "meshgate/proxy/endpoint_health.py",
    "meshgate/proxy/clusters.py",
    "meshgate/proxy/racing.py",
    "meshgate/proxy/sides.py",
    "meshgate/proxy/pacing.py",
    "meshgate/proxy/relay.py",
    "meshgate/proxy/reaching.py",
    "meshgate/proxy/early_bytes.py",
    "meshgate/proxy/connection.py",
    "meshgate/proxy/received_header.py",
    "meshgate/proxy/dataplane.py",
)

# Modules in C, each an optional twin of functions or classes of the Python module beside it: see meshgate/compiled.py.
IN_C = ["meshgate/proxy/_line", "meshgate/proxy/_counts"]
if sys.platform == "linux":  # the lean transport needs epoll
    IN_C += ["meshgate/transport/lean/_events", "meshgate/transport/lean/_sockets"]

WANTED = os.environ.get("MESHGATE_COMPILE", "")


class Package(Distribution):
    """A package for one kind of machine: only the build finds out if it can be compiled."""

    def has_ext_modules(self):
        """Return True if anything may be compiled."""
        return WANTED != "0"


class Build(build):
    """The build command, which an editable installation does not run."""

    def run(self):
        """Build, with the extension modules set up first."""
        if WANTED != "0":
            try:
                try_compiler()
                self.distribution.ext_modules = extensions()
            except (ImportError, BaseError, CCompilerError, OSError, SystemExit) as error:  # the last is how mypyc ends
                do_without(error)
        super().run()


class BuildExtensions(build_ext):
    """Compile all extension modules or none, since compiled modules call each other without the interpreter."""

    def run(self):
        """Compile."""
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            do_without(error)
            for path in map(Path, self.get_outputs()):
                path.unlink(missing_ok=True)


def try_compiler():
    """Compile one small module, so that a machine without a compiler does not wait for mypyc first."""
    compiler = new_compiler()
    customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as folder:
        include = [sysconfig.get_path("include"), sysconfig.get_path("platinclude")]
        compiler.compile([IN_C[0] + ".c"], output_dir=folder, include_dirs=include)


def extensions():
    """Return the extension modules: those in C, and those that mypyc translates to C."""
    from mypyc.build import mypycify

    modules = mypycify(list(COMPILED), opt_level="3", debug_level="0", group_name="meshgate_fast")
    return modules + [Extension(name.replace("/", "."), [f"{name}.c"]) for name in IN_C]


def do_without(error):
    """Go on without extension modules, unless MESHGATE_COMPILE=1 requires them."""
    if WANTED == "1":
        raise error
    print(f"meshgate is not compiled, and will be slower: {error}", file=sys.stderr)  # noqa: T201 - it is a script


setup(distclass=Package, cmdclass={"build": Build, "build_ext": BuildExtensions})
