"""Hosts on one machine: network namespaces with an address each, on a switch in a namespace of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess

import pytest

NETWORK = "10.77.0"


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True)


class Hosts:
    """`count` hosts; number n has the address NETWORK.(n + 1), and the name hostN in files under `folder`."""

    def __init__(self, count, folder):
        self.count, self._name = count, f"wikiloom-{os.getpid()}"
        # torch asks for the names of addresses: without files of its own a host would wait for a server out of reach.
        self._files = {folder / "hosts": "/etc/hosts", folder / "resolv.conf": "/etc/resolv.conf"}
        lines = [f"{self.address(host)} host{host}\n" for host in range(count)]
        (folder / "hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n" + "".join(lines))
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            undo.callback(self._remove)
            switch = self._space("switch")
            ip("-n", switch, "link", "add", "bridge", "type", "bridge")
            ip("-n", switch, "link", "set", "bridge", "up")
            for host in range(self.count):
                space = self._space(host)
                ip("-n", space, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{host}", "netns", switch)
                ip("-n", switch, "link", "set", f"port{host}", "master", "bridge", "up")
                ip("-n", space, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
                ip("-n", space, "link", "set", "eth0", "up")
                ip("-n", space, "link", "set", "lo", "up")
            undo.pop_all()
        return self

    def __exit__(self, *_):
        self._remove()

    def address(self, host):
        return f"{NETWORK}.{host + 1}"

    def start(self, host, words, **options):
        """Start a command on a host."""
        mounts = "".join(f'mount --bind "{ours}" {theirs} && ' for ours, theirs in self._files.items())
        named = ["sh", "-c", f'{mounts} exec "$@"', "sh"]
        words = ["ip", "netns", "exec", f"{self._name}-{host}", *named, *map(str, words)]
        return subprocess.Popen(words, **options)

    def cut_off(self, host):
        """Take a host's cable out."""
        ip("-n", f"{self._name}-switch", "link", "set", f"port{host}", "down")

    def plug_in(self, host):
        """Put it in again."""
        ip("-n", f"{self._name}-switch", "link", "set", f"port{host}", "up")

    def _space(self, name):
        ip("netns", "add", f"{self._name}-{name}")
        return f"{self._name}-{name}"

    def _remove(self):
        for name in ("switch", *range(self.count)):
            space = f"{self._name}-{name}"
            left = subprocess.run(["ip", "netns", "pids", space], check=False, capture_output=True, text=True).stdout
            for process in map(int, left.split()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True)


@contextlib.contextmanager
def started(count, folder):
    """The hosts; the test is skipped where this machine can't make them."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("hosts are network namespaces: they need root, and ip of iproute2")
    with contextlib.ExitStack() as stack:
        try:
            hosts = stack.enter_context(Hosts(count, folder))
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        yield hosts
