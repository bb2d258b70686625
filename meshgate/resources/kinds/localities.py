"""
Preference of near endpoints, by localities of the form ``region/zone/subzone`` that may end with a wildcard.

The rules are Istio's (pkg/config/validation/agent/validation.go, ValidateLocalityLbSetting).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import core_schema

from meshgate.resources.fault import Fault, FieldPath, chain_rules, sound_items
from meshgate.resources.model import FrozenMapping, Items, Model, UInt32, refuse, whole_number
from meshgate.resources.problem import Severity
from meshgate.resources.wording import quoted


class LocalityWeights(FrozenMapping[int]):
    """Percentages by locality."""

    __slots__ = ()

    value_schema = core_schema.no_info_before_validator_function(
        whole_number, core_schema.int_schema(strict=True, ge=1, le=100)
    )


def _complete(weights: LocalityWeights) -> LocalityWeights:
    total = sum(weights.values())
    if total != 100:
        refuse("MG1070", f"the percentages add up to {total}, not to 100", "change them so that their sum is 100")
    return weights


class Distribute(Model):
    """The shares of localities in the connections from one locality."""

    source: str = Field(default="", alias="from", description="locality they come from, as region/zone/subzone")
    to: Annotated[LocalityWeights, AfterValidator(_complete)] = Field(description="percent by locality, 100 in all")


class Failover(Model):
    """The region to which the connections of another one go when that fails."""

    source: str = Field(default="", alias="from", description="region that fails")
    to: str = Field(default="", description="region to go to")


class LocalityLbSetting(Model):
    """Preference of near endpoints, by percentages or in steps."""

    distribute: Items[Distribute] = Field(default=(), description="percentages by locality")
    failover: Items[Failover] = Field(default=(), description="regions that take over from others")
    failover_priority: Items[str] = Field(
        default=(), description="labels that near endpoints share with the gateway, the most important first"
    )
    enabled: bool | None = Field(default=None, description="unset for the default of the mesh, which is on")


class ZoneAwareLbSetting(Model):
    """Preference of the gateway's own zone, as far as its endpoints can serve the connections."""

    enabled: bool | None = Field(default=None, description="unset for the default of the mesh")
    failover: Items[Failover] = Field(default=(), description="regions that take over from others")
    failover_priority: Items[str] = Field(
        default=(), description="labels that near endpoints share with the gateway, the most important first"
    )
    min_cluster_size: UInt32 | None = Field(default=None, description="endpoints that there must be; 6 if unset")


# Labels that say the same as failover, and so exclude it.
_TOPOLOGY: Final = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")


def locality_faults(setting: LocalityLbSetting, path: FieldPath, ejects: bool) -> Iterator[Fault]:
    """
    Check the preference of near endpoints.

    :param path: the path of the setting.
    :param ejects: True if the policy has outlier detection.
    """
    yield from chain_rules(
        _exclusion_faults(setting, path),
        _distribute_faults(setting, path),
        failover_faults(setting, path, ejects),
    )


def _exclusion_faults(setting: LocalityLbSetting, path: FieldPath) -> Iterator[Fault]:
    if setting.distribute and setting.failover:
        yield Fault(
            (*path, "failover"),
            "MG1071",
            "distribute and failover exclude each other",
            "leave one of them out",
            points_at_key=True,
        )
    elif setting.failover:
        for index, label in sound_items(setting.failover_priority):
            if label in _TOPOLOGY:
                yield Fault(
                    (*path, "failoverPriority", index),
                    "MG1071",
                    f"the label {label} cannot be a priority beside failover",
                    "leave failover or the label out",
                )


def _distribute_faults(setting: LocalityLbSetting, path: FieldPath) -> Iterator[Fault]:
    path = (*path, "distribute")
    sources = sound_items(entry.source for entry in setting.distribute)
    yield from _form_faults(((*path, index, "from"), source) for index, source in sources)
    for index, weights in sound_items(entry.to for entry in setting.distribute):
        targets = (((*path, index, "to", locality), locality) for locality in weights)
        yield from _form_faults(targets, points_at_key=True)


def failover_faults(setting: LocalityLbSetting | ZoneAwareLbSetting, path: FieldPath, ejects: bool) -> Iterator[Fault]:
    """
    Check the regions that take over from others.

    :param path: the path of the setting.
    :param ejects: True if the policy has outlier detection.
    """
    if (setting.failover or setting.failover_priority) and not ejects:
        yield Fault(
            (*path, "failover" if setting.failover else "failoverPriority"),
            "MG1072",
            "nothing fails over, since without outlierDetection no endpoint counts as failed",
            "write outlierDetection beside loadBalancer",
            Severity.WARNING,
            points_at_key=True,
        )
    for index, entry in sound_items(setting.failover):
        entry_path = (*path, "failover", index)
        yield from chain_rules(
            _region_faults(entry.source, (*entry_path, "from")),
            _region_faults(entry.to, (*entry_path, "to")),
            _same_region_faults(entry, entry_path),
        )


def _region_faults(region: str, path: FieldPath) -> Iterator[Fault]:
    if "/" in region:
        yield Fault(
            path,
            "MG1073",
            f"{quoted(region)} is more than a region",
            f"write {quoted(region.partition('/')[0])}: zones fail over by themselves",
        )
    elif "*" in region:
        yield Fault(path, "MG1073", f"{quoted(region)} is a wildcard, not a region", "name one region")


def _same_region_faults(entry: Failover, path: FieldPath) -> Iterator[Fault]:
    if entry.source == entry.to:
        yield Fault((*path, "to"), "MG1073", "a region cannot fail over to itself", "name another region")


def _form_faults(localities: Iterable[tuple[FieldPath, str]], points_at_key: bool = False) -> Iterator[Fault]:
    """
    Check the form of each locality, and that it does not overlap with an earlier one.

    :param localities: the localities, each with its path.
    """
    earlier: list[tuple[str, ...]] = []
    for path, locality in localities:
        levels = tuple(locality.split("/", 2))
        if locality.count("*") > 1 or ("*" in locality and not locality.endswith("*")):
            message, hint = "has a wildcard before its end", "write region/zone/* or the like"
        elif not all(levels):
            message, hint = "has an empty part", "write region, region/zone or region/zone/subzone"
        elif any(_overlap(other, levels) for other in earlier):
            message, hint = "overlaps with one before it", "leave one of them out"
        else:
            earlier.append(levels)
            continue
        yield Fault(path, "MG1069", f"the locality {quoted(locality)} {message}", hint, points_at_key=points_at_key)


def _overlap(first: Sequence[str], second: Sequence[str]) -> bool:
    """
    Return True if Istio finds that the second of two localities overlaps with the first.

    A wildcard as the last part of the second one overlaps only with another wildcard there: it stands for the rest.
    """
    for one, other in zip(first, second, strict=False):
        if one == "*":
            return True
        if one != other:
            return False
    return True
