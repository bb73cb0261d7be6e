"""A Valkey cluster of three nodes on free local ports, for tests and for trying things out.

Run as a program (`make cluster`) it prints the REDIS_URL to use and goes on until Ctrl-C.
"""

import asyncio
import contextlib
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
from tests.servers import OwnServer

HOST, NODES = "127.0.0.1", 3
# Milliseconds for which a node may be silent before the others call it dead.
NODE_TIMEOUT = 2_000
# Seconds for the nodes to agree with each other.
AGREE_LIMIT = 30


class Node(OwnServer):
    """A node, stopped and started at will; it keeps its ports and its slots, but not its keys."""

    def __init__(self, folder: Path, port: int, bus: int) -> None:
        super().__init__(self._serve, folder)
        self.port, self.bus = port, bus
        self._folder = folder

    def client(self) -> Redis:
        """Make a client of this node alone."""
        return Redis(host=HOST, port=self.port, socket_timeout=1)

    def thinks(self, state: str) -> bool:
        """Tell whether the cluster is in that state, as this node sees it, if it sees anything."""
        with self.client() as client:
            try:
                return bool(client.cluster("INFO")["cluster_state"] == state)
            except RedisError:
                return True

    def freeze(self) -> None:
        """Let it be silent while its connections stay, as a machine that hangs does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def knows(self, name: bytes) -> bool:
        """Tell whether it has met the node of that name."""
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
    """Nodes that know each other; `url` names them all."""

    def __init__(self, folder: Path, nodes: list[Node]) -> None:
        self.folder = folder
        self.nodes = nodes
        self.url = "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in nodes)

    @asynccontextmanager
    async def replica(self, of: Node) -> AsyncIterator[Node]:
        """Run another node that is to take over from one, for the length of the block."""
        port, bus = _free_ports(2)
        node = Node(self.folder / "replica", port, bus)
        await node.start()
        try:
            with of.client() as client:
                name = client.cluster("MYID")
            with node.client() as client:
                client.cluster("MEET", HOST, of.port, of.bus)
                assert await until(lambda: node.knows(name), AGREE_LIMIT)
                client.cluster("REPLICATE", name)
                assert await until(lambda: client.info()["master_link_status"] == "up", AGREE_LIMIT)
            yield node
        finally:
            await node.stop()

    async def agrees(self, state: str = "ok") -> None:
        """Wait until every node that runs thinks so of the cluster: ok or fail."""
        for node in self.nodes:
            agrees = await until(partial(node.thinks, state), AGREE_LIMIT)
            assert agrees, f"a node does not say {state} of the cluster"

    def flush(self) -> None:
        """Forget all keys."""
        for node in self.nodes:
            with node.client() as client:
                client.flushall()


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """Run a cluster for the length of the block, which begins when all its slots are covered.

    Enter it on the main thread: the nodes end with the thread that started them.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chrysopedia-")))
        ports = _free_ports(2 * NODES)
        nodes = [Node(folder / str(n), ports[2 * n], ports[2 * n + 1]) for n in range(NODES)]
        for node in nodes:
            stack.push_async_callback(node.stop)
            await node.start()
        for number, node in enumerate(nodes):
            _join(node, number, nodes[0])
        joined = Cluster(folder, nodes)
        await joined.agrees()
        yield joined


@contextmanager
def shared_cluster() -> Iterator[Cluster]:
    """Run a cluster from a thread of its own, for tests that stop none of its nodes."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(cluster()) as running,
    ):
        yield running


def _join(node: Node, number: int, first: Node) -> None:
    """Give a node its share of the slots and have it meet the first."""
    share = [REDIS_CLUSTER_HASH_SLOTS * n // NODES for n in (number, number + 1)]
    with node.client() as client:
        client.cluster("ADDSLOTSRANGE", share[0], share[1] - 1)
        # Without numbers of their own they would first have to agree on those.
        client.cluster("SET-CONFIG-EPOCH", number + 1)
        if node is not first:
            client.cluster("MEET", HOST, first.port, first.bus)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [it.getsockname()[1] for it in sockets]


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
