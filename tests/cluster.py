"""A Valkey cluster of three nodes on free local ports.

As a program (`make cluster`) it prints the REDIS_URL to use and runs until Ctrl-C.
"""

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from anyio.from_thread import start_blocking_portal
from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import RedisError

from app.infra.embedded.data_dir_lock import find_owner, lock_data_dir
from app.infra.embedded.process import running
from app.infra.embedded.valkey import find_program
from app.infra.embedded.wait import until
from tests.servers import OwnServer, free_ports

HOST, NODES = "127.0.0.1", 3
# Milliseconds without a reply after which the other nodes consider a node dead.
NODE_TIMEOUT = 2_000
# Seconds for the nodes to agree on the state of the cluster.
TIMEOUT = 30


class Node(OwnServer):
    """A node that may be stopped and started; it keeps its ports and slots, but not its keys."""

    def __init__(self, folder: Path, port: int, bus: int) -> None:
        super().__init__(self._serve, folder)
        self.port, self.bus = port, bus
        self._folder = folder

    def client(self) -> Redis:
        """Return a client of this node only."""
        return Redis(host=HOST, port=self.port, socket_timeout=1)

    def reports(self, state: str) -> bool:
        """Return whether this node reports this cluster state; True if it does not answer."""
        with self.client() as client:
            try:
                return bool(client.cluster("INFO")["cluster_state"] == state)
            except RedisError:
                return True

    def freeze(self) -> None:
        """Suspend it with its connections open, as a machine that hangs."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it."""
        self._signal(signal.SIGCONT)

    def has_met(self, name: bytes) -> bool:
        """Return whether it knows the node with this ID."""
        with self.client() as client:
            known = client.cluster("NODES").values()
            return any(node["node_id"] == name.decode() for node in known)

    def _signal(self, number: signal.Signals) -> None:
        found = find_owner(self._folder, "node")
        assert found
        assert found.server
        os.kill(found.server, number)

    @asynccontextmanager
    async def _serve(self, folder: Path) -> AsyncIterator[str]:
        command = [
            find_program(),
            "--bind",
            HOST,
            "--port",
            str(self.port),
            "--dir",
            ".",
            "--save",
            "",
        ]
        command += ["--cluster-enabled", "yes", "--cluster-port", str(self.bus)]
        command += ["--cluster-node-timeout", str(NODE_TIMEOUT), "--repl-diskless-sync-delay", "0"]
        url = f"redis://{HOST}:{self.port}"
        async with (
            lock_data_dir(folder, "node") as lock,
            running(lock, command, self._listens) as pid,
        ):
            lock.publish(pid, url)
            yield url

    def _listens(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex((HOST, self.port)) == 0


class Cluster:
    """Nodes that have joined; `url` lists them all."""

    def __init__(self, folder: Path, nodes: list[Node]) -> None:
        self.folder = folder
        self.nodes = nodes
        self.url = "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in nodes)

    @asynccontextmanager
    async def replica(self, of: Node) -> AsyncIterator[Node]:
        """Run a replica of a node."""
        port, bus = free_ports(2)
        node = Node(self.folder / "replica", port, bus)
        await node.start()
        try:
            with of.client() as client:
                name = client.cluster("MYID")
            with node.client() as client:
                client.cluster("MEET", HOST, of.port, of.bus)
                assert await until(lambda: node.has_met(name), TIMEOUT)
                client.cluster("REPLICATE", name)
                assert await until(lambda: client.info()["master_link_status"] == "up", TIMEOUT)
            yield node
        finally:
            await node.stop()

    async def wait_for_state(self, state: str = "ok") -> None:
        """Wait until every running node reports the state, "ok" or "fail"."""
        for node in self.nodes:
            reached = await until(partial(node.reports, state), TIMEOUT)
            assert reached, f"port {node.port} does not report the cluster state {state}"

    def flush(self) -> None:
        """Delete all keys."""
        for node in self.nodes:
            with node.client() as client:
                client.flushall()


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """Run a cluster; all slots are covered when it yields.

    Enter it on the main thread: the nodes stop with the thread that started them.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chrysopedia-")))
        ports = free_ports(2 * NODES)
        nodes = [Node(folder / str(n), ports[2 * n], ports[2 * n + 1]) for n in range(NODES)]
        for node in nodes:
            stack.push_async_callback(node.stop)
            await node.start()
        for number, node in enumerate(nodes):
            _join(node, number, nodes[0])
        joined = Cluster(folder, nodes)
        await joined.wait_for_state()
        yield joined


@contextmanager
def shared_cluster() -> Iterator[Cluster]:
    """Run a cluster in a thread of its own, for tests that do not stop its nodes."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(cluster()) as running,
    ):
        yield running


def _join(node: Node, number: int, first: Node) -> None:
    """Assign a node its share of the slots and join it to the first."""
    share = [REDIS_CLUSTER_HASH_SLOTS * n // NODES for n in (number, number + 1)]
    with node.client() as client:
        client.cluster("ADDSLOTSRANGE", share[0], share[1] - 1)
        # With distinct epochs the nodes need not resolve a conflict first.
        client.cluster("SET-CONFIG-EPOCH", number + 1)
        if node is not first:
            client.cluster("MEET", HOST, first.port, first.bus)


async def main() -> None:
    """Run a cluster until Ctrl-C."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with cluster() as running:
        print(f"REDIS_URL={running.url}", flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
