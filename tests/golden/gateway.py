"""The problems of Gateways."""

from __future__ import annotations

from typing import Final

from tests.golden import Golden

TLS: Final = "{number: 443, name: tls, protocol: TLS}"
TCP: Final = "{number: 31400, name: tcp, protocol: TCP}"
HTTP: Final = "{number: 80, name: http, protocol: HTTP}"
SOCKET: Final = "{name: tcp, protocol: TCP}"


def gateway(port: str = TLS, host: str = "a.example.com", name: str = "gw", **fields: str) -> str:
    """A Gateway with one server, whose further fields are the last lines."""
    lines = "".join(f"    {field}: {value}\n" for field, value in fields.items())
    return f"""apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  servers:
  - port: {port}
    hosts: [{host}]
{lines}"""


CASES: Final = (
    Golden(
        "MG1020",
        gateway(TCP, name="gw.infra"),
        """
        routes.yaml:3:18: error[MG1020]: Gateway default/gw.infra: metadata.name: "gw.infra" is not a DNS label: it
          has the character "." (did you mean "gw-infra"?)
        """,
    ),
    Golden(
        "MG1024",
        gateway(TCP, "echo"),
        """
        routes.yaml:7:13: error[MG1024]: Gateway default/gw: spec.servers[0].hosts[0]: "echo" is a short name, which
          a server's host cannot be (write the whole name, as a.example.com, or "*" for any)
        """,
    ),
    Golden(
        "MG1024",
        gateway(TCP, "'*example.com'"),
        """
        routes.yaml:7:13: error[MG1024]: Gateway default/gw: spec.servers[0].hosts[0]: "*example.com" is not a
          wildcard that a server takes: "*" must be the whole first label (did you mean "*.example.com"?)
        """,
    ),
    Golden(
        "MG1024",
        gateway(TCP, "/a.example.com"),
        """
        routes.yaml:7:13: error[MG1024]: Gateway default/gw: spec.servers[0].hosts[0]: "/a.example.com" lacks a
          namespace before the slash or a name behind it (write namespace/name, or name)
        """,
    ),
    Golden(
        "MG1024",
        gateway(TCP, "'~/*'"),
        """
        routes.yaml:7:13: error[MG1024]: Gateway default/gw: spec.servers[0].hosts[0]: the namespace before the
          slash is wrong: "~" is not a DNS label: it has the character "~" (write its name, "." or "*")
        """,
    ),
    Golden(
        "MG1024",
        gateway(TCP, "'https://a.example.com:443/'"),
        """
        routes.yaml:7:13: error[MG1024]: Gateway default/gw: spec.servers[0].hosts[0]: the namespace before the
          slash is wrong: "https:" is not a DNS label: it has the character ":" (did you mean "a.example.com"?)
        """,
    ),
    Golden(
        "MG1025",
        gateway(TCP, bind="127.0.0.1:80"),
        """
        routes.yaml:8:11: error[MG1025]: Gateway default/gw: spec.servers[0].bind: "127.0.0.1:80" is neither an IP
          address nor a unix:// path (did you mean "127.0.0.1"?)
        """,
    ),
    Golden(
        "MG1025",
        gateway(SOCKET, bind="unix://run/gw.sock"),
        """
        routes.yaml:8:11: error[MG1025]: Gateway default/gw: spec.servers[0].bind: "run/gw.sock" is neither the
          absolute path of a Unix socket nor an abstract name with @ before it (leave it out to listen on every
          address)
        """,
    ),
    Golden(
        "MG1026",
        gateway(SOCKET),
        """
        routes.yaml:6:11: error[MG1026]: Gateway default/gw: spec.servers[0].port.number: the server has no port
          number (write a number from 1 to 65535)
        """,
    ),
    Golden(
        "MG1026",
        gateway(TCP, bind="unix:///run/gw.sock"),
        """
        routes.yaml:6:20: error[MG1026]: Gateway default/gw: spec.servers[0].port.number: a Unix socket has no port
          number (write 0, or bind to an IP address)
        """,
    ),
    Golden(
        "MG1027",
        gateway("{number: 31400, name: tcp, protocol: TCP, targetPort: 9000}"),
        """
        routes.yaml:6:53: error[MG1027]: Gateway default/gw: spec.servers[0].port.targetPort: a Gateway's port has
          no targetPort (leave it out; the port of the service is the destination's, in the VirtualService)
        """,
    ),
    Golden(
        "MG1028",
        gateway(TLS),
        """
        routes.yaml:6:5: error[MG1028]: Gateway default/gw: spec.servers[0].tls: a server with the protocol TLS
          needs tls settings (write "tls: {mode: PASSTHROUGH}" to route by server name)
        """,
    ),
    Golden(
        "MG1029",
        gateway(TCP, tls="{mode: PASSTHROUGH}"),
        """
        routes.yaml:8:5: error[MG1029]: Gateway default/gw: spec.servers[0].tls: a server with the protocol TCP
          takes no tls settings (write the protocol TLS, or leave tls out)
        """,
    ),
    Golden(
        "MG1029",
        gateway(HTTP, tls="{mode: SIMPLE, credentialName: c}"),
        """
        routes.yaml:8:5: error[MG1029]: Gateway default/gw: spec.servers[0].tls: a server with the protocol HTTP
          takes no tls settings but httpsRedirect (write the protocol HTTPS, or leave tls out)
        """,
    ),
    Golden(
        "MG1030",
        gateway(TLS, tls="{httpsRedirect: true}"),
        """
        routes.yaml:8:11: warning[MG1030]: Gateway default/gw: spec.servers[0].tls.httpsRedirect: no plain HTTP to
          redirect arrives at a server with the protocol TLS (write it in the server for HTTP)
        """,
    ),
    Golden(
        "MG1031",
        gateway(TLS, tls="{mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_0}"),
        """
        routes.yaml:8:64: warning[MG1031]: Gateway default/gw: spec.servers[0].tls.minProtocolVersion: TLSV1_0
          cannot be spoken with the default cipher suites (name older ones in cipherSuites, as ECDHE-RSA-AES128-SHA,
          or write TLSV1_2)
        """,
    ),
    Golden(
        "MG1032",
        gateway(TLS, tls="{mode: SIMPLE, credentialName: c, cipherSuites: [AES128-SHA, AES128-SH, AES128-SHA]}"),
        """
        routes.yaml:8:71: warning[MG1032]: Gateway default/gw: spec.servers[0].tls.cipherSuites[1]: "AES128-SH" is
          not a cipher suite that is known, and is ignored (did you mean AES128-SHA?)
        routes.yaml:8:82: warning[MG1032]: Gateway default/gw: spec.servers[0].tls.cipherSuites[2]: the cipher suite
          "AES128-SHA" is in spec.servers[0].tls.cipherSuites[0] already (remove one of the two)
        """,
    ),
    Golden(
        "MG1033",
        gateway(TLS, tls="{mode: ISTIO_MUTUAL, credentialName: c}"),
        """
        routes.yaml:8:31: error[MG1033]: Gateway default/gw: spec.servers[0].tls.credentialName: ISTIO_MUTUAL uses
          the certificates of the mesh, so there is no place for credentialName (leave it out, or write the mode
          SIMPLE or MUTUAL)
        """,
    ),
    Golden(
        "MG1034",
        gateway(TLS, tls="{serverCertificate: a.crt, privateKey: a.key}"),
        """
        routes.yaml:8:11: warning[MG1034]: Gateway default/gw: spec.servers[0].tls.serverCertificate: the mode
          PASSTHROUGH passes TLS through, which needs no serverCertificate or privateKey (leave out what has no
          effect, or write the mode SIMPLE to end TLS here)
        """,
    ),
    Golden(
        "MG1035",
        gateway(TLS, tls="{mode: SIMPLE, serverCertificate: a.crt, privateKey: a.key, credentialName: c}"),
        """
        routes.yaml:8:70: error[MG1035]: Gateway default/gw: spec.servers[0].tls.credentialName: the server's
          certificate is given in serverCertificate and credentialName (keep one of them)
        """,
    ),
    Golden(
        "MG1036",
        gateway(TLS, tls="{mode: SIMPLE}"),
        """
        routes.yaml:8:10: error[MG1036]: Gateway default/gw: spec.servers[0].tls.serverCertificate: the mode SIMPLE
          needs a certificate with its key: serverCertificate and privateKey are missing (name the files, or a
          secret with credentialName)
        """,
    ),
    Golden(
        "MG1036",
        gateway(TLS, tls="{mode: MUTUAL, serverCertificate: a.crt}"),
        """
        routes.yaml:8:10: error[MG1036]: Gateway default/gw: spec.servers[0].tls.caCertificates: the mode MUTUAL
          needs caCertificates, by which clients' certificates are checked (name a file, or a secret with
          credentialName)
        routes.yaml:8:10: error[MG1036]: Gateway default/gw: spec.servers[0].tls.privateKey: the mode MUTUAL needs a
          certificate with its key: privateKey is missing (name the file, or a secret with credentialName)
        """,
    ),
    Golden(
        "MG1037",
        gateway(TLS, tls="{mode: SIMPLE, credentialNames: [a, b, c]}"),
        """
        routes.yaml:8:49: warning[MG1037]: Gateway default/gw: spec.servers[0].tls.credentialNames[2]: two
          certificates are used at most, one each for RSA and ECDSA (keep two of them)
        """,
    ),
    Golden(
        "MG1038",
        gateway(TLS, tls="{mode: SIMPLE, serverCertificate: a.crt, privateKey: a.key, caCrl: a.crl}"),
        """
        routes.yaml:8:70: error[MG1038]: Gateway default/gw: spec.servers[0].tls.caCrl: caCrl has no meaning with
          the mode SIMPLE, which checks no client certificates (leave it out, or write the mode MUTUAL)
        """,
    ),
    Golden(
        "MG1038",
        gateway(TLS, tls="{credentialName: c, caCrl: a.crl}"),
        """
        routes.yaml:8:30: error[MG1038]: Gateway default/gw: spec.servers[0].tls.caCrl: caCrl does not go with
          credentialName (put the list of revoked certificates in the secret)
        """,
    ),
    Golden(
        "MG1099",
        gateway(TLS, "a.example.com., b.example.com, '*.example.org.', infra/c.example.com.", tls="{}"),
        """
        routes.yaml:7:13: warning[MG1099]: Gateway default/gw: spec.servers[0].hosts[0]: "a.example.com." ends with
          a dot, and no client asks for a server name that does (write "a.example.com"; hosts are compared letter by
          letter)
        routes.yaml:7:44: warning[MG1099]: Gateway default/gw: spec.servers[0].hosts[2]: "*.example.org." ends with
          a dot, and no client asks for a server name that does (write "*.example.org"; hosts are compared letter by
          letter)
        routes.yaml:7:62: warning[MG1099]: Gateway default/gw: spec.servers[0].hosts[3]: "infra/c.example.com." ends
          with a dot, and no client asks for a server name that does (write "infra/c.example.com"; hosts are
          compared letter by letter)
        """,
    ),
    Golden("MG1099", gateway(TCP, "a.example.com."), ""),
)
