"""A real PostgreSQL, and a real PgBouncer before it, from Debian's packages: a cluster of its own in a folder.

The folder lies in ``/tmp``: short enough for a socket, and ``postgres`` may enter it.

It listens on loopback and in its folder, keeps its promises about the disk, and runs as ``postgres`` where the tests
are root, as it refuses to be. Everything is gone when the ``with`` ends.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PATIENCE = 60


def binaries():
    """Where the server's programs are; the newest version's."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def bouncer():
    """PgBouncer, or None."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def needs_postgresql():
    """Skip by name where it is absent."""
    if binaries() is None:
        pytest.skip("no PostgreSQL server here (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="no psycopg here (the extra postgresql)")


def needs_pgbouncer():
    """Skip by name where it is absent."""
    needs_postgresql()
    if bouncer() is None:
        pytest.skip("no PgBouncer here (Debian: apt-get install pgbouncer)")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def user():
    """The arguments of ``subprocess`` that make a program run as somebody who may run a server."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class Server:
    """One server. ``url()`` names its database, with a schema of one's own."""

    def __init__(self, folder, port, bin_):
        self.folder, self.port, self.bin = folder, port, bin_
        self.data = folder / "data"

    def url(self, schema="certpack_watchdog", port=None):
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/postgres?schema={schema}"

    def ctl(self, *arguments):
        """``pg_ctl``: start, stop, restart, promote."""
        log = str(self.folder / "log")
        command = [str(self.bin / "pg_ctl"), "-D", str(self.data), "-w", "-t", str(PATIENCE), "-l", log, *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **user())

    def start(self):
        self.ctl("start")

    def stop(self, mode="fast"):
        self.ctl("-m", mode, "stop")

    def restart(self):
        self.ctl("-m", "fast", "restart")

    def execute(self, statement, *values):
        """Run it as the administrator; gives the rows, if there are any."""
        psycopg = pytest.importorskip("psycopg")
        with psycopg.connect(f"host=127.0.0.1 port={self.port} user=postgres", autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else None

    @property
    def pid(self):
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])


@contextmanager
def postgresql(**settings):
    """``with postgresql() as server``. ``settings`` are of its configuration file."""
    needs_postgresql()
    bin_, folder = binaries(), Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server = Server(folder, free_port(), bin_)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        command = [str(bin_ / "initdb"), "-D", str(server.data), "-A", "trust", "-U", "postgres", "--no-sync"]
        command += ["-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user())
        usual = {
            "port": server.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "max_connections": 50,
            "shared_buffers": "16MB",
        }
        with (server.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in (usual | settings).items())
        server.start()
        yield server
    finally:
        with suppress(OSError, subprocess.CalledProcessError):
            server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pgbouncer(server, pool_size=5):
    """PgBouncer in transaction mode before ``server``; gives its port."""
    needs_pgbouncer()
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="pgb-", dir="/tmp"))
    path = folder / "pgbouncer.ini"
    path.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
        f"default_pool_size = {pool_size}\nlogfile = {folder}/log\n"
    )
    if os.geteuid() == 0:
        for each in (folder, path):
            shutil.chown(each, "postgres", "postgres")
    process = subprocess.Popen([bouncer(), "-q", str(path)], cwd=folder, stderr=subprocess.DEVNULL, **user())
    try:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def standby(server):
    """A physical standby of ``server``, without which nothing is committed: ``ctl("promote")`` makes a server of it."""
    folder = Path(tempfile.mkdtemp(prefix="pgs-", dir="/tmp"))
    found = Server(folder, free_port(), server.bin)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        command = [str(server.bin / "pg_basebackup"), "-D", str(found.data), "-R", "-X", "stream", "-c", "fast"]
        command += ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user())
        with (found.data / "postgresql.conf").open("a") as file:
            file.write(f"port = {found.port}\nunix_socket_directories = '{folder}'\n")
        found.start()
        server.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        server.execute("SELECT pg_reload_conf()")
        end = time.monotonic() + PATIENCE
        while server.execute("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            if time.monotonic() > end:
                raise AssertionError("the standby does not follow")
            time.sleep(0.05)
        yield found
    finally:
        with suppress(OSError, subprocess.CalledProcessError):
            found.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def little_room(server, size):
    """The tables that are made from now on lie on a file system of ``size`` (``4m``); gives its folder."""
    folder = Path(tempfile.mkdtemp(prefix="pgr-", dir="/tmp"))
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700,uid=postgres", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        folder.rmdir()
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        place = folder / "space"
        place.mkdir()
        shutil.chown(place, "postgres", "postgres")
        server.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        server.execute("ALTER SYSTEM SET default_tablespace = 'small'")
        server.execute("SELECT pg_reload_conf()")
        yield folder
    finally:
        server.stop("immediate")
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()
