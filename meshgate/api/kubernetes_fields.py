"""
The fields of the kinds of Kubernetes that the API serves, as core/v1, apps/v1 and discovery/v1 define them.

meshgate reads few of them (:mod:`meshgate.resources.kinds`), and keeps all. Clients need all of them: the API's
schemas, by which kubectl validates, explains and merges, and the API's own check of what a client sends come from here.

A line of the table is a message with its fields: ``name:type``. A field without a type is a text; ``!`` follows the
name of a required one. ``{text}`` is a mapping of texts to texts, ``Container[name]`` a list of Containers that is
merged by their name, ``text[]`` a list that is one value as a whole, and ``text[*]`` one that is merged as a set. Of
the keys of a list, a strategic merge patch uses the first. A line with ``@`` begins another package.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

_TABLE: Final = """
@ io.k8s.apimachinery.pkg.apis.meta.v1
LabelSelector = matchExpressions:LabelSelectorRequirement[] matchLabels:{text}
LabelSelectorRequirement = key! operator! values:text[]
ManagedFieldsEntry = apiVersion fieldsType fieldsV1:any manager operation subresource time:time
ObjectMeta = annotations:{text} creationTimestamp:time deletionGracePeriodSeconds:int deletionTimestamp:time
  finalizers:text[*] generateName generation:int labels:{text} managedFields:ManagedFieldsEntry[] name namespace
  ownerReferences:OwnerReference[uid] resourceVersion selfLink uid
OwnerReference = apiVersion! blockOwnerDeletion:bool controller:bool kind! name! uid!
@ io.k8s.api.core.v1
AWSElasticBlockStoreVolumeSource = fsType partition:int readOnly:bool volumeID!
Affinity = nodeAffinity:NodeAffinity podAffinity:PodAffinity podAntiAffinity:PodAntiAffinity
AppArmorProfile = localhostProfile type!
AzureDiskVolumeSource = cachingMode diskName! diskURI! fsType kind readOnly:bool
AzureFileVolumeSource = readOnly:bool secretName! shareName!
CSIVolumeSource = driver! fsType nodePublishSecretRef:LocalObjectReference readOnly:bool volumeAttributes:{text}
Capabilities = add:text[] drop:text[]
CephFSVolumeSource = monitors!:text[] path readOnly:bool secretFile secretRef:LocalObjectReference user
CinderVolumeSource = fsType readOnly:bool secretRef:LocalObjectReference volumeID!
ClientIPConfig = timeoutSeconds:int
ClusterTrustBundleProjection = labelSelector:LabelSelector name optional:bool path! signerName user:int
ConfigMap = apiVersion binaryData:{bytes} data:{text} immutable:bool kind metadata:ObjectMeta
ConfigMapEnvSource = name optional:bool
ConfigMapKeySelector = key! name optional:bool
ConfigMapNodeConfigSource = kubeletConfigKey! name! namespace! resourceVersion uid
ConfigMapProjection = items:KeyToPath[] name optional:bool
ConfigMapVolumeSource = defaultMode:int defaultUser:int items:KeyToPath[] name optional:bool
Container = args:text[] command:text[] env:EnvVar[name] envFrom:EnvFromSource[] image imagePullPolicy
  lifecycle:Lifecycle livenessProbe:Probe name! ports:ContainerPort[containerPort,protocol] readinessProbe:Probe
  resizePolicy:ContainerResizePolicy[] resources:ResourceRequirements restartPolicy
  restartPolicyRules:ContainerRestartRule[] securityContext:SecurityContext startupProbe:Probe stdin:bool
  stdinOnce:bool terminationMessagePath terminationMessagePolicy tty:bool volumeDevices:VolumeDevice[devicePath]
  volumeMounts:VolumeMount[mountPath] workingDir
ContainerPort = containerPort!:int hostIP hostPort:int name protocol
ContainerResizePolicy = resourceName! restartPolicy!
ContainerRestartRule = action! exitCodes:ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes = operator! values:int[]
DownwardAPIProjection = items:DownwardAPIVolumeFile[]
DownwardAPIVolumeFile = fieldRef:ObjectFieldSelector mode:int path! resourceFieldRef:ResourceFieldSelector user:int
DownwardAPIVolumeSource = defaultMode:int defaultUser:int items:DownwardAPIVolumeFile[]
EmptyDirVolumeSource = medium mode:int sizeLimit:quantity
EndpointAddress = hostname ip! nodeName targetRef:ObjectReference
EndpointSubset = addresses:EndpointAddress[] notReadyAddresses:EndpointAddress[] ports:EndpointPort[]
Endpoints = apiVersion kind metadata:ObjectMeta subsets:EndpointSubset[]
EnvFromSource = configMapRef:ConfigMapEnvSource prefix secretRef:SecretEnvSource
EnvVar = name! value valueFrom:EnvVarSource
EnvVarSource = configMapKeyRef:ConfigMapKeySelector fieldRef:ObjectFieldSelector fileKeyRef:FileKeySelector
  resourceFieldRef:ResourceFieldSelector secretKeyRef:SecretKeySelector
EphemeralContainer = args:text[] command:text[] env:EnvVar[name] envFrom:EnvFromSource[] image imagePullPolicy
  lifecycle:Lifecycle livenessProbe:Probe name! ports:ContainerPort[containerPort,protocol] readinessProbe:Probe
  resizePolicy:ContainerResizePolicy[] resources:ResourceRequirements restartPolicy
  restartPolicyRules:ContainerRestartRule[] securityContext:SecurityContext startupProbe:Probe stdin:bool
  stdinOnce:bool targetContainerName terminationMessagePath terminationMessagePolicy tty:bool
  volumeDevices:VolumeDevice[devicePath] volumeMounts:VolumeMount[mountPath] workingDir
EphemeralVolumeSource = volumeClaimTemplate:PersistentVolumeClaimTemplate
Event = action apiVersion count:int eventTime:time firstTimestamp:time involvedObject!:ObjectReference kind
  lastTimestamp:time message metadata!:ObjectMeta reason related:ObjectReference reportingComponent
  reportingInstance series:EventSeries source:EventSource type
EventSeries = count:int lastObservedTime:time
EventSource = component host
EvictionResponder = name! priority!:int
ExecAction = command:text[]
FCVolumeSource = fsType lun:int readOnly:bool targetWWNs:text[] wwids:text[]
FileKeySelector = key! optional:bool path! volumeName!
FlexVolumeSource = driver! fsType options:{text} readOnly:bool secretRef:LocalObjectReference
FlockerVolumeSource = datasetName datasetUUID
GCEPersistentDiskVolumeSource = fsType partition:int pdName! readOnly:bool
GRPCAction = mode port!:int service
GitRepoVolumeSource = directory repository! revision
GlusterfsVolumeSource = endpoints! path! readOnly:bool
HTTPGetAction = host httpHeaders:HTTPHeader[] path port!:int|text protocol scheme
HTTPHeader = name! value!
HostAlias = hostnames:text[] ip!
HostPathVolumeSource = path! type
ISCSIVolumeSource = chapAuthDiscovery:bool chapAuthSession:bool fsType initiatorName iqn! iscsiInterface lun!:int
  portals:text[] readOnly:bool secretRef:LocalObjectReference targetPortal!
ImageVolumeSource = pullPolicy reference
KeyToPath = key! mode:int path! user:int
Lifecycle = postStart:LifecycleHandler preStop:LifecycleHandler stopSignal
LifecycleHandler = exec:ExecAction httpGet:HTTPGetAction sleep:SleepAction tcpSocket:TCPSocketAction
LocalObjectReference = name
NFSVolumeSource = path! readOnly:bool server!
Namespace = apiVersion kind metadata:ObjectMeta spec:NamespaceSpec status:any
NamespaceSpec = finalizers:text[]
Node = apiVersion kind metadata:ObjectMeta spec:NodeSpec status:any
NodeAffinity = preferredDuringSchedulingIgnoredDuringExecution:PreferredSchedulingTerm[]
  requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
NodeConfigSource = configMap:ConfigMapNodeConfigSource
NodePodPreemptionPolicy = disableResizePreemption:text[]
NodeSelector = nodeSelectorTerms!:NodeSelectorTerm[]
NodeSelectorRequirement = key! operator! values:text[]
NodeSelectorTerm = matchExpressions:NodeSelectorRequirement[] matchFields:NodeSelectorRequirement[]
NodeSpec = configSource:NodeConfigSource externalID podCIDR podCIDRs:text[]
  podPreemptionPolicy:NodePodPreemptionPolicy providerID taints:Taint[] unschedulable:bool
ObjectFieldSelector = apiVersion fieldPath!
ObjectReference = apiVersion fieldPath kind name namespace resourceVersion uid
PersistentVolumeClaimSpec = accessModes:text[] dataSource:TypedLocalObjectReference
  dataSourceRef:TypedObjectReference resources:VolumeResourceRequirements selector:LabelSelector storageClassName
  volumeAttributesClassName volumeMode volumeName
PersistentVolumeClaimTemplate = metadata:ObjectMeta spec!:PersistentVolumeClaimSpec
PersistentVolumeClaimVolumeSource = claimName! readOnly:bool
PhotonPersistentDiskVolumeSource = fsType pdID!
Pod = apiVersion kind metadata:ObjectMeta spec:PodSpec status:any
PodAffinity = preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm[]
  requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm[]
PodAffinityTerm = labelSelector:LabelSelector matchLabelKeys:text[] mismatchLabelKeys:text[]
  namespaceSelector:LabelSelector namespaces:text[] topologyKey!
PodAntiAffinity = preferredDuringSchedulingIgnoredDuringExecution:WeightedPodAffinityTerm[]
  requiredDuringSchedulingIgnoredDuringExecution:PodAffinityTerm[]
PodCertificateProjection = certificateChainPath credentialBundlePath keyPath keyType! maxExpirationSeconds:int
  signerName! user:int userAnnotations:{text}
PodDNSConfig = nameservers:text[] options:PodDNSConfigOption[] searches:text[]
PodDNSConfigOption = name value
PodOS = name!
PodReadinessGate = conditionType!
PodResourceClaim = name! resourceClaimName resourceClaimTemplateName
PodSchedulingGate = name!
PodSchedulingGroup = podGroupName
PodSecurityContext = appArmorProfile:AppArmorProfile fsGroup:int fsGroupChangePolicy runAsGroup:int
  runAsNonRoot:bool runAsUser:int seLinuxChangePolicy seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile
  supplementalGroups:int[] supplementalGroupsPolicy sysctls:Sysctl[] windowsOptions:WindowsSecurityContextOptions
PodSpec = activeDeadlineSeconds:int affinity:Affinity automountServiceAccountToken:bool containers!:Container[name]
  dnsConfig:PodDNSConfig dnsPolicy enableServiceLinks:bool ephemeralContainers:EphemeralContainer[name]
  evictionResponders:EvictionResponder[] hostAliases:HostAlias[ip] hostIPC:bool hostNetwork:bool hostPID:bool
  hostUsers:bool hostname hostnameOverride imagePullSecrets:LocalObjectReference[name]
  initContainers:Container[name] nodeName nodeSelector:{text} os:PodOS overhead:{quantity} preemptionPolicy
  priority:int priorityClassName readinessGates:PodReadinessGate[] resourceClaims:PodResourceClaim[name]
  resources:ResourceRequirements restartPolicy runtimeClassName schedulerName
  schedulingGates:PodSchedulingGate[name] schedulingGroup:PodSchedulingGroup securityContext:PodSecurityContext
  serviceAccount serviceAccountName setHostnameAsFQDN:bool shareProcessNamespace:bool subdomain
  terminationGracePeriodSeconds:int tolerations:Toleration[]
  topologySpreadConstraints:TopologySpreadConstraint[topologyKey,whenUnsatisfiable] volumes:Volume[name]
PodTemplateSpec = metadata:ObjectMeta spec:PodSpec
PortworxVolumeSource = fsType readOnly:bool volumeID!
PreferredSchedulingTerm = preference!:NodeSelectorTerm weight!:int
Probe = exec:ExecAction failureThreshold:int grpc:GRPCAction httpGet:HTTPGetAction initialDelaySeconds:int
  periodSeconds:int successThreshold:int tcpSocket:TCPSocketAction terminationGracePeriodSeconds:int
  timeoutSeconds:int
ProjectedVolumeSource = defaultMode:int defaultUser:int sources:VolumeProjection[]
QuobyteVolumeSource = group readOnly:bool registry! tenant user volume!
RBDVolumeSource = fsType image! keyring monitors!:text[] pool readOnly:bool secretRef:LocalObjectReference user
ResourceClaim = name! request
ResourceFieldSelector = containerName divisor:quantity resource!
ResourceRequirements = claims:ResourceClaim[] limits:{quantity} requests:{quantity}
SELinuxOptions = level role type user
ScaleIOVolumeSource = fsType gateway! protectionDomain readOnly:bool secretRef!:LocalObjectReference sslEnabled:bool
  storageMode storagePool system! volumeName
SeccompProfile = localhostProfile type!
Secret = apiVersion data:{bytes} immutable:bool kind metadata:ObjectMeta stringData:{text} type
SecretEnvSource = name optional:bool
SecretKeySelector = key! name optional:bool
SecretProjection = items:KeyToPath[] name optional:bool
SecretVolumeSource = defaultMode:int defaultUser:int items:KeyToPath[] optional:bool secretName
SecurityContext = allowPrivilegeEscalation:bool appArmorProfile:AppArmorProfile capabilities:Capabilities
  privileged:bool procMount readOnlyRootFilesystem:bool runAsGroup:int runAsNonRoot:bool runAsUser:int
  seLinuxOptions:SELinuxOptions seccompProfile:SeccompProfile windowsOptions:WindowsSecurityContextOptions
Service = apiVersion kind metadata:ObjectMeta spec:ServiceSpec status:any
ServiceAccount = apiVersion automountServiceAccountToken:bool imagePullSecrets:LocalObjectReference[] kind
  metadata:ObjectMeta secrets:ObjectReference[]
ServiceAccountTokenProjection = audience expirationSeconds:int path! user:int
ServicePort = appProtocol name nodePort:int port!:int protocol targetPort:int|text
ServiceSpec = allocateLoadBalancerNodePorts:bool clusterIP clusterIPs:text[] externalIPs:text[] externalName
  externalTrafficPolicy healthCheckNodePort:int internalTrafficPolicy ipFamilies:text[] ipFamilyPolicy
  loadBalancerClass loadBalancerIP loadBalancerSourceRanges:text[] ports:ServicePort[port,protocol]
  publishNotReadyAddresses:bool selector:{text} sessionAffinity sessionAffinityConfig:SessionAffinityConfig
  trafficDistribution type
SessionAffinityConfig = clientIP:ClientIPConfig
SleepAction = seconds!:int
StorageOSVolumeSource = fsType readOnly:bool secretRef:LocalObjectReference volumeName volumeNamespace
Sysctl = name! value!
TCPSocketAction = host port!:int|text
Taint = effect! key! timeAdded:time value
Toleration = effect key operator tolerationSeconds:int value
TopologySpreadConstraint = labelSelector:LabelSelector matchLabelKeys:text[] maxSkew!:int minDomains:int
  nodeAffinityPolicy nodeTaintsPolicy topologyKey! whenUnsatisfiable!
TypedLocalObjectReference = apiGroup kind! name!
TypedObjectReference = apiGroup kind! name! namespace
Volume = awsElasticBlockStore:AWSElasticBlockStoreVolumeSource azureDisk:AzureDiskVolumeSource
  azureFile:AzureFileVolumeSource cephfs:CephFSVolumeSource cinder:CinderVolumeSource
  configMap:ConfigMapVolumeSource csi:CSIVolumeSource downwardAPI:DownwardAPIVolumeSource
  emptyDir:EmptyDirVolumeSource ephemeral:EphemeralVolumeSource fc:FCVolumeSource flexVolume:FlexVolumeSource
  flocker:FlockerVolumeSource gcePersistentDisk:GCEPersistentDiskVolumeSource gitRepo:GitRepoVolumeSource
  glusterfs:GlusterfsVolumeSource hostPath:HostPathVolumeSource image:ImageVolumeSource iscsi:ISCSIVolumeSource
  name! nfs:NFSVolumeSource persistentVolumeClaim:PersistentVolumeClaimVolumeSource
  photonPersistentDisk:PhotonPersistentDiskVolumeSource portworxVolume:PortworxVolumeSource
  projected:ProjectedVolumeSource quobyte:QuobyteVolumeSource rbd:RBDVolumeSource scaleIO:ScaleIOVolumeSource
  secret:SecretVolumeSource storageos:StorageOSVolumeSource vsphereVolume:VsphereVirtualDiskVolumeSource
VolumeDevice = devicePath! name!
VolumeMount = bindMountOptions:text[] mountPath! mountPropagation name! readOnly:bool recursiveReadOnly subPath
  subPathExpr
VolumeProjection = clusterTrustBundle:ClusterTrustBundleProjection configMap:ConfigMapProjection
  downwardAPI:DownwardAPIProjection podCertificate:PodCertificateProjection secret:SecretProjection
  serviceAccountToken:ServiceAccountTokenProjection
VolumeResourceRequirements = limits:{quantity} requests:{quantity}
VsphereVirtualDiskVolumeSource = fsType storagePolicyID storagePolicyName volumePath!
WeightedPodAffinityTerm = podAffinityTerm!:PodAffinityTerm weight!:int
WindowsSecurityContextOptions = gmsaCredentialSpec gmsaCredentialSpecName hostProcess:bool runAsUserName
@ io.k8s.api.apps.v1
Deployment = apiVersion kind metadata:ObjectMeta spec!:DeploymentSpec status:any
DeploymentSpec = minReadySeconds:int paused:bool progressDeadlineSeconds:int replicas:int revisionHistoryLimit:int
  selector!:LabelSelector strategy:DeploymentStrategy template!:PodTemplateSpec
DeploymentStrategy = rollingUpdate:RollingUpdateDeployment type
ReplicaSet = apiVersion kind metadata:ObjectMeta spec!:ReplicaSetSpec status:any
ReplicaSetSpec = minReadySeconds:int replicas:int selector!:LabelSelector template:PodTemplateSpec
RollingUpdateDeployment = maxSurge:int|text maxUnavailable:int|text
@ io.k8s.api.discovery.v1
Endpoint = addresses!:text[] conditions:EndpointConditions deprecatedTopology:{text} hints:EndpointHints hostname
  nodeName targetRef:ObjectReference zone
EndpointConditions = ready:bool serving:bool terminating:bool
EndpointHints = forNodes:ForNode[] forZones:ForZone[]
EndpointPort = appProtocol name port!:int protocol
EndpointPort = appProtocol name port!:int protocol
EndpointSlice = addressType! apiVersion endpoints:Endpoint[] kind metadata:ObjectMeta ports:EndpointPort[]
ForNode = name!
ForZone = name!
@ io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1
CustomResourceDefinition = apiVersion kind metadata:ObjectMeta spec:any status:any
"""

_FIELD: Final = re.compile(r"(\w+)(!?)(?::(?:\{(\w+)\}|([\w|]+)(\[[^\]]*\])?))?")

TEXT, INT, BOOL, NUMBER = "text", "int", "bool", "number"
TIME, BYTES, QUANTITY, ANY, INT_OR_TEXT = "time", "bytes", "quantity", "any", "int|text"

AS_SET: Final = ("*",)
"""The keys of a list that is merged as a set of its values."""


@dataclass(frozen=True, slots=True)
class Field:
    """
    A field of a message.

    :ivar type: one of the types above, or the name of a message: of the value, or of each value in it.
    :ivar form: ``list`` or ``map``; empty for a single value.
    :ivar keys: the fields that identify an item of a list, :data:`AS_SET`, or empty for a list that is one value.
    """

    name: str
    type: str
    form: str
    required: bool
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """
    A message.

    :ivar name: its name with the package, as in ``io.k8s.api.core.v1.Service``.
    """

    name: str
    fields: Mapping[str, Field]


@cache
def messages() -> Mapping[str, Message]:
    """The messages, by their names without the package."""
    found: dict[str, Message] = {}
    package = ""
    for line in _TABLE.strip().replace("\n  ", " ").splitlines():
        name, _, fields = line.partition(" = ")
        if line.startswith("@"):
            package = line.removeprefix("@").strip()
        else:
            found[name] = Message(f"{package}.{name}", {each.name: each for each in map(_field, fields.split())})
    return found


def _field(text: str) -> Field:
    match = _FIELD.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no field")
    name, required, values, type_, keys = match.groups()
    form = "map" if values else "list" if keys else ""
    return Field(
        name, values or type_ or TEXT, form, bool(required), tuple(filter(None, (keys or "")[1:-1].split(",")))
    )


@cache
def list_keys() -> Mapping[str, Sequence[tuple[str, ...]]]:
    """The keys of the lists that are merged by some, by the names of their fields."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for message in messages().values():
        for field in message.fields.values():
            if field.keys and field.keys not in found.setdefault(field.name, []):
                found[field.name].append(field.keys)
    return {name: keys for name, keys in found.items() if AS_SET not in keys}


@cache
def sets() -> frozenset[str]:
    """The names of the lists that are merged as sets."""
    fields = (field for message in messages().values() for field in message.fields.values())
    return frozenset(field.name for field in fields if field.keys == AS_SET)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """
    A value that does not fit its field.

    :ivar path: as people write it, ``spec.ports[0].port``.
    :ivar wanted: what belongs there; empty if there is no such field.
    """

    path: str
    wanted: str = ""


def mismatches(message: str, value: Mapping[str, Any], path: str = "") -> Iterator[Mismatch]:
    """
    The fields that a message does not have, and those that have a value of a wrong type.

    No mismatch quotes a value, since it may be secret.

    :param message: the name of the message; nothing is said of one that the table does not have.
    :param path: the path of the value.
    """
    if message in messages():
        yield from _of_message(message, value, path)


def _of_message(name: str, value: Any, path: str) -> Iterator[Mismatch]:
    if not isinstance(value, Mapping):
        yield Mismatch(path, "a mapping")
        return
    fields = messages()[name].fields
    for key, each in value.items():
        here = f"{path}.{key}" if path else str(key)
        field = fields.get(key)
        if field is None:
            yield Mismatch(here)
        elif each is not None:
            yield from _of_field(field, each, here)


def _of_field(field: Field, value: Any, path: str) -> Iterator[Mismatch]:
    if field.form == "list":
        if not isinstance(value, list):
            yield Mismatch(path, "a list")
            return
        for index, each in enumerate(value):
            yield from _of_value(field.type, each, f"{path}[{index}]")
    elif field.form == "map":
        if not isinstance(value, Mapping):
            yield Mismatch(path, "a mapping")
            return
        for key, each in value.items():
            yield from _of_value(field.type, each, f"{path}.{key}")
    else:
        yield from _of_value(field.type, value, path)


def _is_whole_number(value: Any) -> bool:
    return type(value) is int


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_base64(value: Any) -> bool:
    try:
        return isinstance(value, str) and base64.b64decode("".join(value.split()), validate=True) is not None
    except ValueError:
        return False


_CHECKS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    TEXT: (_is_text, "a text"),
    TIME: (_is_time, "a time"),
    BYTES: (_is_base64, "a text in base64"),
    INT: (_is_whole_number, "a whole number"),
    NUMBER: (_is_number, "a number"),
    BOOL: (lambda value: isinstance(value, bool), "true or false"),
    QUANTITY: (lambda value: _is_text(value) or _is_number(value), "a quantity"),
    INT_OR_TEXT: (lambda value: _is_text(value) or _is_whole_number(value), "a whole number or a text"),
}


def _of_value(type_: str, value: Any, path: str) -> Iterator[Mismatch]:
    if type_ == ANY or value is None:
        return
    if type_ not in _CHECKS:
        yield from _of_message(type_, value, path)
        return
    fits, wanted = _CHECKS[type_]
    if not fits(value):
        yield Mismatch(path, wanted)
