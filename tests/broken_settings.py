"""
Broken settings, and exactly what is said of them.

The provider type ``inventory`` and its messages are those of :mod:`tests.settings.test_load`.
"""

from __future__ import annotations

ONE_PROVIDER = "providers: [{name: files, type: inventory, hosts: []}]\n"
"""A first line that is in order."""

BROKEN: dict[str, tuple[str, list[str]]] = {
    "nothing": (
        "# all commented out\n",
        ["FILE: error[MG0101]: the settings file is empty (name at least one provider in it)"],
    ),
    "a list": (
        "\n- providers\n",
        [
            'FILE:2:1: error[MG0101]: the settings file must be a mapping, not a list (write "key: value" lines)',
        ],
    ),
    "two documents": (
        ONE_PROVIDER + "---\nsemantics: istio\n",
        ["FILE:3:1: error[MG0101]: a second document begins here (a settings file is one document)"],
    ),
    "YAML syntax": (
        "gateway:\n\tlabels: {}\n",
        ["FILE:2:1: error[MG0001]: a tab stands where YAML wants spaces (indent with spaces)"],
    ),
    "a key twice": (
        "state_dir: a\nstate_dir: b\n",
        ['FILE:2:1: error[MG0001]: the key "state_dir" is written twice in one mapping (remove or rename one of them)'],
    ),
    "unknown keys": (
        ONE_PROVIDER + "gatway: {}\nTimeouts: {}\nlimits:\n  hello_bytes: 3\nlab:\n  echo:\n    - {port: 1, pdo: x}\n",
        [
            "FILE:2:1: error[MG0102]: gatway: unknown key gatway (did you mean gateway?)",
            "FILE:3:1: error[MG0102]: Timeouts: unknown key Timeouts (did you mean timeouts?)",
            "FILE:5:3: error[MG0102]: limits.hello_bytes: unknown key hello_bytes (did you mean hello?)",
            "FILE:8:17: error[MG0102]: lab.echo[0].pdo: unknown key pdo (did you mean pod?)",
        ],
    ),
    "a key far from all others": (
        ONE_PROVIDER + "dns: {xyzzy: 1}\n",
        ["FILE:2:7: error[MG0102]: dns.xyzzy: unknown key xyzzy (one of servers)"],
    ),
    "missing keys": (
        "providers:\n  - {name: files}\n  - {type: inventory, hosts: []}\nlab: {https: [{name: one}]}\n",
        [
            "FILE:2:5: error[MG0103]: providers[0].type: the required field type is missing",
            "FILE:3:5: error[MG0103]: providers[1].name: the required field name is missing",
            "FILE:4:15: error[MG0103]: lab.https[0].hosts: the required field hosts is missing",
            "FILE:4:15: error[MG0103]: lab.https[0].port: the required field port is missing",
        ],
    ),
    "wrong types": (
        "gateway: [a]\nstate_dir: 3\nproviders: {name: a}\ndns: {servers: 192.0.2.53}\nlimits: {dial_attempts: many}\n",
        [
            "FILE:1:10: error[MG0104]: gateway: must be a mapping, not a list",
            "FILE:2:12: error[MG0104]: state_dir: must be text, not the number 3 (put it in quotes)",
            "FILE:3:12: error[MG0104]: providers: must be a list, not a mapping",
            'FILE:4:16: error[MG0104]: dns.servers: must be a list, not the text "192.0.2.53" '
            '(begin each entry with "- ")',
            'FILE:5:25: error[MG0104]: limits.dial_attempts: must be a whole number, not the text "many"',
        ],
    ),
    "durations": (
        ONE_PROVIDER + "timeouts: {hello: 15, connect: 0, idle: 1d, half_close: -5s}\n",
        [
            "FILE:2:19: error[MG0104]: timeouts.hello: must be a duration, not the number 15 "
            "(write a number with a unit, as 500ms, 15s or 1h30m)",
            "FILE:2:32: error[MG0104]: timeouts.connect: must be longer than 0 (this limit cannot be switched off)",
            "FILE:2:41: error[MG0104]: timeouts.idle: the duration '1d' is in days, and the largest unit is the "
            'hour; write "24h" for a day',
            "FILE:2:57: error[MG0104]: timeouts.half_close: the duration -5s is negative",
        ],
    ),
    "keepalive": (
        ONE_PROVIDER
        + "keepalive:\n  client: {idle: 1500ms, interval: 0, count: 128}\n  upstream: {idle: 10h, interval: 15}\n",
        [
            "FILE:3:18: error[MG0104]: keepalive.client.idle: must be whole seconds, 32767s at the most, not 1500ms "
            "(write it as 60s or 2m)",
            "FILE:3:36: error[MG0104]: keepalive.client.interval: must be longer than 0 "
            "(to have no probes, write 0 for idle)",
            "FILE:3:46: error[MG0104]: keepalive.client.count: the number 128 is out of range (at most 127 is allowed)",
            "FILE:4:20: error[MG0104]: keepalive.upstream.idle: must be whole seconds, 32767s at the most, not 10h "
            "(write it as 60s or 2m)",
            "FILE:4:35: error[MG0104]: keepalive.upstream.interval: must be a duration, not the number 15 "
            "(write a number with a unit, as 500ms, 15s or 1h30m)",
        ],
    ),
    "limits": (
        ONE_PROVIDER + "limits: {hello: 16KB, dial_attempts: 17}\n",
        [
            'FILE:2:17: error[MG0104]: limits.hello: must be a size, not the text "16KB" '
            "(write a number of bytes, or one with a unit, as 16KiB)",
            "FILE:2:38: error[MG0104]: limits.dial_attempts: the number 17 is out of range (at most 16 is allowed)",
        ],
    ),
    "limits out of range": (
        ONE_PROVIDER + "limits: {hello: 1MiB, dial_attempts: 0}\n",
        [
            "FILE:2:17: error[MG0104]: limits.hello: the number 1048576 is out of range (at most 65536 is allowed)",
            "FILE:2:38: error[MG0104]: limits.dial_attempts: the number 0 is out of range (at least 1 is allowed)",
        ],
    ),
    "limits too small": (
        ONE_PROVIDER + "limits: {hello: 511}\n",
        ["FILE:2:17: error[MG0104]: limits.hello: the number 511 is out of range (at least 512 is allowed)"],
    ),
    "workers": (
        ONE_PROVIDER + "workers: 65\n",
        ["FILE:2:10: error[MG0104]: workers: the number 65 is out of range (1 to 64 is allowed, or auto)"],
    ),
    "no workers": (
        ONE_PROVIDER + "workers: 0\n",
        ["FILE:2:10: error[MG0104]: workers: the number 0 is out of range (1 to 64 is allowed, or auto)"],
    ),
    "workers in words": (
        ONE_PROVIDER + "workers: many\n",
        ['FILE:2:10: error[MG0104]: workers: must be a number or auto, not the text "many"'],
    ),
    "name servers": (
        ONE_PROVIDER + "dns: {servers: [192.0.2.53, ns.example.com, '[::1]:70000']}\n",
        [
            "FILE:2:29: error[MG0104]: dns.servers[1]: must be the address of a name server, not the text "
            '"ns.example.com" (write an IP address, with a port or without, as 192.0.2.53, 192.0.2.53:5353 or '
            "[2001:db8::53]:5353)",
            "FILE:2:45: error[MG0104]: dns.servers[2]: the port 70000 is out of range (1 to 65535 is allowed)",
        ],
    ),
    "names": (
        ONE_PROVIDER + "gateway: {labels: {app: 1}, namespace: Istio_System}\ndomain_suffix: .local\n",
        [
            "FILE:2:25: error[MG0104]: gateway.labels.app: must be text, not the number 1 (put it in quotes)",
            'FILE:2:40: error[MG0104]: gateway.namespace: must be a name, not the text "Istio_System" '
            "(use lower-case letters, digits and inner dashes, at most 63 in all)",
            'FILE:3:16: error[MG0104]: domain_suffix: must be a DNS name, not the text ".local" '
            "(write lower-case names with dots between them)",
        ],
    ),
    "choices": (
        ONE_PROVIDER + "semantics: envoi\nunknown_sni: alrt\naccess_log: {format: xml, path: ''}\n",
        [
            'FILE:2:12: error[MG0104]: semantics: must be istio or extended, not the text "envoi"',
            'FILE:3:14: error[MG0104]: unknown_sni: must be close or alert, not the text "alrt" (did you mean alert?)',
            'FILE:4:22: error[MG0104]: access_log.format: must be text or json, not the text "xml"',
            "FILE:4:33: error[MG0104]: access_log.path: the text must not be empty",
        ],
    ),
    "other semantics": (
        ONE_PROVIDER + "semantics: envoy\n",
        ['FILE:2:12: error[MG0104]: semantics: must be istio or extended, not the text "envoy"'],
    ),
    "provider types": (
        "providers:\n  - name: files\n    type: directry\n",
        [
            "FILE:3:11: error[MG0105]: providers[0].type: unknown provider type 'directry' "
            "(did you mean 'directory'? the known types are directory, inventory)"
        ],
    ),
    "provider options": (
        "providers:\n  - {name: one, type: inventory}\n  - name: two\n    type: inventory\n    hosts:\n"
        "      - a\n      - b\n      - 3\n",
        [
            "FILE:2:5: error[MG0106]: providers[0].hosts: hosts are needed",
            "FILE:7:9: error[MG0106]: providers[1].hosts[1]: no host (write a)",
            "FILE:8:9: error[MG0106]: providers[1].hosts[2]: no host (write a)",
        ],
    ),
    "names twice": (
        "providers:\n  - {name: a, type: inventory, hosts: []}\n  - 3\n  - {name: a, type: inventory, hosts: []}\n"
        "lab:\n  https:\n    - {name: b, hosts: [x.example], port: 1}\n    - {name: b, hosts: [y.example], port: 2}\n",
        [
            "FILE:3:5: error[MG0104]: providers[1]: must be a mapping, not the number 3",
            'FILE:4:12: error[MG0104]: providers[2].name: the name "a" is taken by providers[0].name '
            "(give each provider a name of its own)",
            'FILE:8:14: error[MG0104]: lab.https[1].name: the name "b" is taken by lab.https[0].name '
            "(give each service a name of its own)",
        ],
    ),
    "workloads": (
        ONE_PROVIDER + "lab: {echo: [3], https: [{name: A, hosts: [], port: 70000, bind: localhost}]}\n",
        [
            "FILE:2:14: error[MG0104]: lab.echo[0]: must be a mapping, not the number 3",
            'FILE:2:33: error[MG0104]: lab.https[0].name: must be a name, not the text "A" '
            "(use lower-case letters, digits and inner dashes, at most 63 in all)",
            "FILE:2:43: error[MG0104]: lab.https[0].hosts: the list needs at least one entry",
            "FILE:2:53: error[MG0104]: lab.https[0].port: the number 70000 is out of range (at most 65535 is allowed)",
            'FILE:2:66: error[MG0104]: lab.https[0].bind: must be an IP address, not the text "localhost" '
            "(write it as 127.0.0.1 or ::1)",
        ],
    ),
}
"""What is broken, the text, and every line that is said of it; FILE stands for the file."""
