"""
The registry of provider types, which are Twisted plug-ins.

meshgate's own types are found in the same way as everybody else's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from twisted.logger import Logger
from twisted.plugin import CachedPlugin, getCache
from twisted.python.modules import getModule
from zope.interface.verify import verifyObject

import twisted.plugins
from meshgate.providers.interfaces import IRouteProviderFactory, OptionProblem, OptionsError
from meshgate.providers.problem_log import describe, log_traceback
from meshgate.resources.problem import Phase, Problem, Severity

_log = Logger()
_TYPE_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class UnknownProviderTypeError(LookupError):
    """
    The settings name a type that no plug-in has.

    :ivar message: the error in one sentence.
    :ivar hint: the nearest type, all known types, and the problems of plug-ins that cannot be used.
    """

    def __init__(self, type_name: str, known: tuple[str, ...], problems: tuple[Problem, ...]) -> None:
        near = get_close_matches(type_name, known, n=1)
        self.message = f"unknown provider type {type_name!r}"
        self.hint = (f"did you mean {near[0]!r}? " if near else "") + f"the known types are {', '.join(known)}"
        self.hint += "".join(f"; {problem}" for problem in problems)
        super().__init__(f"{self.message} ({self.hint})")


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """
    A provider that the settings choose.

    :ivar name: the provider's name in the settings.
    :ivar options: the result of the factory's ``parse_options``.
    """

    name: str
    type_name: str
    factory: IRouteProviderFactory
    options: Any

    def same_as(self, other: ProviderChoice) -> bool:
        """Return true if a provider of the one choice also serves for the other."""
        return (self.type_name, self.options) == (other.type_name, other.options)


@dataclass(frozen=True, slots=True)
class Registry:
    """
    The factories of all types.

    :ivar factories: by type.
    :ivar problems: of plug-in files and factories that cannot be used, and of types found twice.
    """

    factories: Mapping[str, IRouteProviderFactory]
    problems: tuple[Problem, ...] = ()

    @property
    def types(self) -> tuple[str, ...]:
        """The names of all types, in alphabetical order."""
        return tuple(sorted(self.factories))

    def get(self, type_name: str) -> IRouteProviderFactory:
        """
        Return the factory of a type.

        :raises UnknownProviderTypeError: if there is none.
        """
        try:
            return self.factories[type_name]
        except KeyError:
            raise UnknownProviderTypeError(type_name, self.types, self.problems) from None

    def choose(self, name: str, type_name: str, options: Mapping[str, object], folder: str) -> ProviderChoice:
        """
        Validate one entry of the settings' list of providers.

        :param name: the provider's name.
        :param options: the keys of the entry without ``name`` and ``type``.
        :param folder: the folder of the settings file.
        :raises UnknownProviderTypeError: if no plug-in has the type.
        :raises OptionsError: if the options cannot be used, or the plug-in fails over them.
        """
        factory = self.get(type_name)
        try:
            parsed = factory.parse_options(options, folder)
        except OptionsError:
            raise
        except Exception as error:
            log_traceback(_log, f"parse_options of provider type {type_name}", error)
            message = f"the provider type {type_name!r} failed over its options: {describe(error)}"
            raise OptionsError(OptionProblem((), message, "this is a bug of the plug-in")) from error
        return ProviderChoice(name, type_name, factory, parsed)


def find_factories() -> Registry:
    """Find the provider types of this environment. This reads the plug-in folders, and blocks while it does."""
    factories: dict[str, IRouteProviderFactory] = {}
    locations: dict[str, str] = {}
    problems = []
    dropins = getCache(twisted.plugins)  # type: ignore[no-untyped-call]
    for module in sorted(dropins):
        for plugin in dropins[module].plugins:
            if not _is_factory(plugin):
                continue
            location = f"twisted.plugins.{module}.{plugin.name}"
            try:
                factory = _load(plugin)
            except Exception as error:
                problems.append(_unusable("MG3003", f"the provider plug-in {location} cannot be used", error))
                continue
            first = locations.setdefault(factory.type_name, location)
            if first == location:
                factories[factory.type_name] = factory
            else:
                problems.append(_duplicate(factory.type_name, first, location))
    return Registry(factories, (*_broken_files(set(dropins)), *problems))


def _is_factory(plugin: CachedPlugin) -> bool:
    return any(interface.isOrExtends(IRouteProviderFactory) for interface in plugin.provided)


def _load(plugin: CachedPlugin) -> IRouteProviderFactory:
    factory: IRouteProviderFactory = plugin.load()  # type: ignore[no-untyped-call]
    verifyObject(IRouteProviderFactory, factory)
    name = factory.type_name
    if not isinstance(name, str) or not _TYPE_NAME.fullmatch(name):
        raise ValueError(f"its type_name {name!r} is not made of lower-case letters, digits and dashes")
    return factory


def _broken_files(loaded: set[str]) -> Iterator[Problem]:
    # Twisted only logs the exception of a broken file; a second import raises it here.
    for module in getModule(twisted.plugins.__name__).iterModules():  # type: ignore[no-untyped-call]
        if module.name.rpartition(".")[2] not in loaded:
            try:
                module.load()
            except Exception as error:
                path = module.filePath.path
                yield _unusable("MG3002", "the plug-in file cannot be loaded", error, path)


def _unusable(code: str, message: str, error: Exception, file: str = "") -> Problem:
    log_traceback(_log, message, error)
    return Problem(Severity.WARNING, code, f"{message}: {describe(error)}", Phase.ANALYSIS, file=file)


def _duplicate(type_name: str, first: str, second: str) -> Problem:
    message = f"the provider type {type_name!r} of {second} is taken already by {first}"
    hint = "uninstall one of the two packages"
    return Problem(Severity.WARNING, "MG3004", message, Phase.ANALYSIS, hint=hint)
