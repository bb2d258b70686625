"""Worker processes under a real twistd: they serve, they are replaced, they follow, and they end."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable
from pathlib import Path

from tests.hello_builder import build_hello
from tests.installation import ECHO, NAME_1, NAME_2, SNI, Installation
from tests.lab_with_workers import END_OF_GREETING, PORT, SECONDS, Client, WorkersTestCase, accepts, exists
from tests.support import read_to_end, wait_for


class ServingTests(WorkersTestCase):
    """What clients and users see of workers as long as nothing happens to them."""

    async def test_both_serve_and_are_counted_together(self) -> None:
        """Connections go to both workers; figures are added up; log lines are whole and have numbers of their own."""
        lab = await self.start()
        clients = self.clients(lab.ports[ECHO], 40)
        for client in clients:
            client.read_until(END_OF_GREETING)
        status = await self.state(lab, "the live connections", lambda status: status["connections"] == 40)
        self.assertTrue(all(worker["connections"] for worker in status["workers"]), status["workers"])
        for client in clients:
            client.finish()
        await self.state(lab, "their ends", lambda status: status["ended"] == {"ok": 40})
        lines = await self.lines(lab, 40)
        self.assertEqual(len({line["id"] for line in lines}), 40)
        self.assertGreater(max(line["id"] for line in lines), 1_000_000_000)

    async def test_workers_load_neither_models_nor_openssl(self) -> None:
        """Both cost memory in each worker: models are the control process's, and no worker terminates TLS."""
        lab = await self.start()
        for worker in (1, 2):
            mapped = Path(f"/proc/{await self.pid(lab, worker)}/maps").read_text()
            self.assertEqual([name for name in ("pydantic", "ruamel", "cryptography") if name in mapped], [])

    async def test_a_change_is_live_when_all_have_it(self) -> None:
        """While one worker has not answered, the status says that the change is not live; then all follow it."""
        lab = await self.start()
        late = await self.pid(lab, 2)
        os.kill(late, signal.SIGSTOP)
        gateway = lab.routes / "30-sni-gateway.yaml"
        gateway.write_text(gateway.read_text().replace(f"        - {NAME_2}\n", ""))
        status = await self.state(lab, "the change", lambda status: status["generation"] == 2)
        self.assertEqual(status["live_generation"], 1)
        os.kill(late, signal.SIGCONT)
        await self.state(lab, "all workers", lambda status: status["live_generation"] == 2)
        for _ in range(10):
            for name in (NAME_1, NAME_2):
                with socket.create_connection(("127.0.0.1", lab.ports[SNI]), timeout=SECONDS) as client:
                    client.sendall(build_hello(sni=name))
                    client.shutdown(socket.SHUT_WR)
                    read_to_end(client)
        ends = await self.lines(lab, 20)
        self.assertEqual({line["sni"] for line in ends if line["ending"] == "no_route"}, {NAME_2})
        self.assertEqual(sum(line["ending"] == "no_route" for line in ends), 10)

    async def test_ports_come_and_go(self) -> None:
        """A new port is served by both, one that goes is closed everywhere, and what came in there goes on."""
        lab = await self.start()
        port = lab.ports[31500] = lab.ports[SNI] + 1
        file = lab.routes / "40-further.yaml"
        file.write_text(PORT.format(port=port, target=lab.ports[2701]))
        await lab.process.wait_for_port(port)
        clients = self.clients(port, 20)
        for client in clients:
            client.read_until(END_OF_GREETING)
        await self.state(lab, "both to serve it", lambda s: all(worker["connections"] for worker in s["workers"]))
        file.unlink()
        await wait_for(lambda: not accepts(port), "the end of the port")
        for client in clients:
            client.echoes(b"still here")
        file.write_text(PORT.format(port=port, target=lab.ports[2701]))
        await lab.process.wait_for_port(port)
        self.clients(port, 1)[0].read_until(END_OF_GREETING)

    async def test_a_reload_reaches_all(self) -> None:
        """Limits and the access log's file are renewed in both workers; another number of them waits for a restart."""
        lab = await self.start(path="access.log")
        log = lab.folder / "access.log"
        log.rename(lab.folder / "rotated.log")
        lab.edit_settings(hello="200ms", workers="3")
        lab.process.signal(signal.SIGHUP)
        status = await self.state(lab, "the warning", lambda status: bool(status["problems"]))
        (text,) = map("{severity}[{code}]: {message}".format_map, status["problems"])
        self.assertEqual(text, "warning[MG3103]: workers is now 3, and 2 until the gateway is started again")
        for client in self.clients(lab.ports[SNI], 10):
            read_to_end(client.socket)
        await wait_for(lambda: log.exists() and log.read_text().count('"hello_timeout"') == 10, "the lines")

    async def test_broken_settings_change_nothing(self) -> None:
        """A reload with settings that cannot be used is a problem, and the same workers serve on."""
        lab = await self.start()
        before = {await self.pid(lab, 1), await self.pid(lab, 2)}
        lab.edit_settings(workers="many")
        lab.process.signal(signal.SIGHUP)
        status = await self.state(lab, "the problem", lambda status: bool(status["problems"]))
        self.assertEqual([problem["code"] for problem in status["problems"]], ["MG3005"])
        self.assertIn("workers: must be a number or auto", status["problems"][0]["message"])
        for client in self.clients(lab.ports[ECHO], 10):
            client.read_until(END_OF_GREETING)
        self.assertEqual({worker["pid"] for worker in lab.status()["workers"]}, before)


class ReplacementTests(WorkersTestCase):
    """Workers that die."""

    async def test_no_queued_connection_is_lost(self) -> None:
        """What waited to be accepted when both workers were killed is served by their replacements."""
        lab = await self.start()
        pids = [await self.pid(lab, 1), await self.pid(lab, 2)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        clients = self.clients(lab.ports[ECHO], 40)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for worker in (1, 2):
            await self.pid(lab, worker, but=pids)
        for client in clients:
            client.read_until(END_OF_GREETING)
        await self.state(lab, "both restarts", lambda s: [worker["restarts"] for worker in s["workers"]] == [1, 1])
        self.assertIn(f"worker 1 (process {pids[0]}) was killed by SIGKILL", lab.process.stderr)

    async def test_one_that_dies_again_and_again_is_started_more_slowly(self) -> None:
        """The second end in a row is a problem, and its replacement waits; until then the other serves for it."""
        lab = await self.start()
        dead: list[int] = []
        for _ in range(2):
            dead.append(await self.pid(lab, 1, but=dead))
            os.kill(dead[-1], signal.SIGKILL)
        status = await self.state(lab, "the problem", lambda status: bool(status["problems"]))
        (text,) = map("{severity}[{code}]: {message}".format_map, status["problems"])
        self.assertEqual(text, "error[MG3102]: worker 1 was killed by SIGKILL; it is started again in 1 s")
        for client in self.clients(lab.ports[ECHO], 20):
            client.read_until(END_OF_GREETING)
        await self.state(lab, "the missing process", lambda status: status["workers"][0]["pid"] is None)
        await self.pid(lab, 1, but=dead)
        await self.state(lab, "the problem's end", lambda status: not status["problems"])

    async def test_one_that_is_asked_to_end_drains(self) -> None:
        """SIGTERM to a worker ends its connections as drained, and it is replaced like any other."""
        lab = await self.start()
        clients = self.clients(lab.ports[ECHO], 20)
        for client in clients:
            client.read_until(END_OF_GREETING)
        pid = await self.pid(lab, 1)
        os.kill(pid, signal.SIGTERM)
        await self.pid(lab, 1, but=[pid])
        status = await self.state(lab, "the ends", lambda status: "drained" in status["ended"])
        drained = status["ended"]["drained"]
        self.assertEqual(sum(line["ending"] == "drained" for line in lab.log()), drained)
        await self.state(lab, "those of the other", lambda status: status["connections"] == 20 - drained)
        self.assertIn(f"worker 1 (process {pid}) ended with status 0", lab.process.stderr)


class EndTests(WorkersTestCase):
    """The end of the gateway is the end of its workers."""

    async def session(self, lab: Installation) -> Client:
        """A client that has been greeted."""
        (client,) = self.clients(lab.ports[ECHO], 1)
        client.read_until(END_OF_GREETING)
        return client

    async def gone(self, pids: Iterable[int]) -> None:
        """Wait for the end of processes."""
        await wait_for(lambda: not any(map(exists, pids)), "the end of the workers")

    async def test_sigterm_drains(self) -> None:
        """Connections end as drained, everything is written, the exit status is 0, and no process is left."""
        lab = await self.start()
        pids = [await self.pid(lab, 1), await self.pid(lab, 2)]
        client = await self.session(lab)
        self.assertEqual(await lab.stop(), 0)
        read_to_end(client.socket)
        await self.gone(pids)
        self.assertEqual([line["ending"] for line in lab.log()], ["drained"])
        status = lab.status()
        self.assertEqual((status["running"], status["ended"]), (False, {"drained": 1}))

    async def test_ctrl_c_is_the_parents(self) -> None:
        """A terminal interrupts all processes at once, and the end is the same, without tracebacks."""
        lab = await self.start()
        await self.session(lab)
        os.killpg(lab.process.pid, signal.SIGINT)
        self.assertEqual(await lab.process.exit_status(), 0)
        self.assertEqual([line["ending"] for line in lab.log()], ["drained"])
        self.assertNotIn("Traceback", lab.process.stderr)

    async def test_workers_do_not_outlive_their_parent(self) -> None:
        """When the parent is killed, the workers write what they have to, and end."""
        lab = await self.start()
        pids = [await self.pid(lab, 1), await self.pid(lab, 2)]
        await self.session(lab)
        lab.process.signal(signal.SIGKILL)
        await self.gone(pids)
        self.assertEqual([line["ending"] for line in lab.log()], ["drained"])
        self.assertFalse(accepts(lab.ports[ECHO]))
