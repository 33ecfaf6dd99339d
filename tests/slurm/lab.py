"""A SLURM of its own on this machine: two nodes of four processors, one of them with two placeholder GPUs.

In: a folder for its files. Out: running munged, slurmctld and two slurmd, without systemd, and /etc/slurm/*.conf that
point into the folder; all stopped and removed at the end. Requires root, and Debian's packages, which it installs.
By hand: `python tests/slurm/lab.py FOLDER` runs until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
LINKS = Path("/etc/slurm")
NODES = {"n1": 16818, "n2": 16819}
"""Names and ports; n1 has the GPUs."""

CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
AuthType=auth/munge
AuthInfo=socket={lab}/run/munge.socket
CredType=cred/munge
StateSaveLocation={lab}/state
SlurmdSpoolDir={lab}/spool/%n
SlurmctldPidFile={lab}/run/slurmctld.pid
SlurmdPidFile={lab}/run/slurmd-%n.pid
SlurmctldLogFile={lab}/log/slurmctld.log
SlurmdLogFile={lab}/log/slurmd-%n.log
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout=20
MinJobAge=3600
KillWait=5
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={lab}/log/jobcomp.txt
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=DEFAULT CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=9000
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=16818 Gres=gpu:2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=16819
PartitionName=DEFAULT DefMemPerCPU=500 State=UP
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=01:00:00 PriorityTier=1
PartitionName=gpu Nodes=n1 MaxTime=01:00:00 PriorityTier=1
PartitionName=urgent Nodes=n1,n2 MaxTime=01:00:00 PriorityTier=10 PreemptMode=off
"""


def daemon(*line: str) -> None:
    """Starts a daemon, which forks. Raises RuntimeError with the last line of what it prints."""
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{line[0]}: {' '.join(done.stdout.split())}")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended stays as a zombie where nothing reaps it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def missing() -> str:
    """Why no SLURM can run here; empty if one can. Installs the packages if they are not there."""
    if os.geteuid() != 0:
        return "a real SLURM requires root"
    if not all(map(shutil.which, PROGRAMS)):
        if not shutil.which("apt-get"):
            return (
                f"no {', '.join(p for p in PROGRAMS if not shutil.which(p))}, and no apt-get to install them"
            )
        line = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends"]
        done = subprocess.run([*line, *PACKAGES], capture_output=True, text=True)
        if done.returncode:
            return f"apt-get cannot install {' '.join(PACKAGES)}: {(done.stderr.strip() or '?').splitlines()[-1]}"
    foreign = [
        p for p in map(LINKS.joinpath, ("slurm.conf", "gres.conf")) if p.exists() and not p.is_symlink()
    ]
    if foreign:
        return f"{foreign[0]} is of another SLURM"
    return ""


class Lab:
    """The daemons of a SLURM; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids: dict[str, int] = {}
        self.lock: IO[str] | None = None

    def __enter__(self) -> Lab:
        self.lock = open("/tmp/winnow-slurm-lab.lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        for name in ("run", "state", "log", "gpu", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "run").chmod(0o755)
        conf = CONF.format(host=socket.gethostname(), lab=self.folder)
        (self.folder / "slurm.conf").write_text(conf)
        (self.folder / "gres.conf").write_text(f"NodeName=n1 Name=gpu File={self.folder}/gpu/fake[0-1]\n")
        for device in ("fake0", "fake1"):
            if not (self.folder / "gpu" / device).exists():
                os.mknod(self.folder / "gpu" / device, 0o600 | 0o020000, os.makedev(1, 3))
        try:
            self.munge()
            for name in ("slurm.conf", "gres.conf"):
                LINKS.mkdir(exist_ok=True)
                (LINKS / name).unlink(missing_ok=True)
                (LINKS / name).symlink_to(self.folder / name)
            self.start_controller(clean=True)
            for node in NODES:
                self.start_node(node)
            self.wait_idle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.pids)[::-1]:  # slurmd before slurmctld before munged
            self.stop(name)
        for name in ("slurm.conf", "gres.conf"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(LINKS / name) == str(self.folder / name):
                    (LINKS / name).unlink()
        if self.lock:
            self.lock.close()

    def munge(self) -> None:
        run = self.folder / "run"
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        options = dict(
            socket=run / "munge.socket", pid=run / "munged.pid", log=self.folder / "log/munged.log"
        )
        line = [f"--{name}-file={path}" for name, path in options.items() if name != "socket"]
        line += [f"--key-file={key}", f"--seed-file={run}/munged.seed", f"--socket={options['socket']}"]
        daemon("munged", "--force", *line)
        self.pids["munged"] = self.pid("munged")

    def start_controller(self, clean: bool = False) -> None:
        daemon("slurmctld", *(["-c"] if clean else []))
        self.pids["slurmctld"] = self.pid("slurmctld")

    def start_node(self, node: str) -> None:
        daemon("slurmd", "-N", node)
        self.pids[f"slurmd-{node}"] = self.pid(f"slurmd-{node}")

    def pid(self, name: str) -> int:
        """The process id that a daemon wrote."""
        path = self.folder / "run" / f"{name}.pid"
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError, ValueError):
                pid = int(path.read_text())
                if alive(pid):
                    return pid
            time.sleep(0.1)
        raise RuntimeError(f"{name} did not start; see {self.folder}/log")

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """Stops one daemon and waits for its end; SIGKILL after 20 s."""
        pid = self.pids.pop(name)
        for signum in (number, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
            until = time.monotonic() + 20
            while time.monotonic() < until:
                if not alive(pid):
                    return
                time.sleep(0.1)

    def wait_idle(self, seconds: float = 120) -> None:
        """Waits until both nodes are idle; a node that is down after a fault is resumed."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            states = self("sinfo", "-h", "-N", "-p", "cpu", "-o", "%T").split()
            if states == ["idle"] * len(NODES):
                return
            if any(state.startswith(("down", "drained")) for state in states):
                with contextlib.suppress(subprocess.CalledProcessError):
                    self("scontrol", "update", f"NodeName={','.join(NODES)}", "State=RESUME")
            time.sleep(0.5)
        raise RuntimeError(f"the nodes are {states}; see {self.folder}/log")

    def __call__(self, *line: str) -> str:
        """What a command of SLURM prints."""
        return subprocess.run(line, check=True, capture_output=True, text=True, timeout=120).stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """All jobs that the controller remembers, by id, with the fields of `scontrol show job`."""
        text = self("scontrol", "-o", "show", "job")
        rows = [dict(f.split("=", 1) for f in line.split() if "=" in f) for line in text.splitlines()]
        return {row["JobId"]: row for row in rows if "JobId" in row}


if __name__ == "__main__":
    if problem := missing():
        sys.exit(problem)
    with Lab(Path(sys.argv[1]).resolve()) as lab:
        print(lab("sinfo"), flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
