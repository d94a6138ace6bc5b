"""A job on this machine: scheduler, servers and workers started, watched and ended together.

Left alone, the processes of MXNet's parameter server wait for ever for one that has died. Nothing here imports MXNet.
"""

import contextlib
import ctypes
import dataclasses
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from mxnet_compat import cores

__all__ = ['Role', 'launch', 'supervise']

#: Exit status when the time limit has passed, as timeout(1) has it.
TIME_IS_UP = 124

# Seconds before what is still running is killed: when a process has died; for workers to finish their step and write a
# checkpoint, when the time limit has passed and when the user ends the job; once one process has ended well.
_AFTER_DEATH, _AFTER_LIMIT, _AFTER_SIGNAL, _AFTER_SUCCESS = 2, 6, 30, 120

_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass
class Role:
    """A process of the job: its `name` in the log, its command line, its environment."""

    name: str
    command: list
    environment: dict
    process: subprocess.Popen | None = None

    @property
    def works(self):
        return self.name.startswith('worker')

    @property
    def running(self):
        return self.process is not None and self.process.returncode is None

    def start(self):
        parent = os.getpid()

        def die_with_parent():
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        # The new session keeps the terminal's Ctrl-C away: it comes here, and is passed on once.
        self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                                        preexec_fn=die_with_parent)

    def has_ended(self):
        """Whether the process has ended since the last look; what it left behind in its group then ends too."""
        if not self.running or os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        self.send(signal.SIGKILL)  # while it is not yet reaped, its group cannot be another's
        self.process.poll()
        return True

    def send(self, number):
        """Send a signal to the process and its children."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


def launch(program, workers=2, servers=1, time_limit=None, log=None):
    """Run a job on this machine, on the loopback interface, until it ends or `time_limit` seconds have passed.

    `program` is the command line of a worker; ValueError if it cannot be found. What the processes write goes to the
    binary file `log`, default the standard output. Returns 0 if all ended well; else the status of the one that ended
    first (128 + number of a signal), 124 if the time was up, 130 or 143 after Ctrl-C or SIGTERM.
    """
    if not shutil.which(program[0]):
        raise ValueError(f'{program[0]} is neither train nor a program that can be run')
    # The parameter server numbers the workers by their ports: so the rank is the number in the log.
    *ports, root = _free_ports(workers + servers + 1)
    # What is left of another job, or of a web server's settings (PORT), would get in the way.
    common = {name: value for name, value in os.environ.items() if not name.startswith('DMLC_') and name != 'PORT'}
    common.setdefault('OMP_NUM_THREADS', str(max(1, (cores() or len(os.sched_getaffinity(0))) // workers)))
    common.update({
        'DMLC_PS_ROOT_URI': '127.0.0.1', 'DMLC_NODE_HOST': '127.0.0.1', 'DMLC_PS_ROOT_PORT': str(root),
        'DMLC_NUM_WORKER': str(workers), 'DMLC_NUM_SERVER': str(servers), 'PYTHONUNBUFFERED': '1'})
    mxnet = [sys.executable, '-c', 'import mxnet']
    roles = [Role('scheduler', mxnet, {**common, 'DMLC_ROLE': 'scheduler'})]
    roles += [Role(f'server {i}', mxnet, {**common, 'DMLC_ROLE': 'server', 'PORT': str(ports[workers + i])})
              for i in range(servers)]
    roles += [Role(f'worker {i}', program, {**common, 'DMLC_ROLE': 'worker', 'PORT': str(ports[i])})
              for i in range(workers)]
    return supervise(roles, time_limit, log)


def supervise(roles, time_limit=None, log=None):
    """Start `roles`, copy what they write to `log`, and end them all when one dies, time is up, or the user says so.

    Each is the leader of its own process group, all of which is ended; and the kernel kills each when this process
    ends, however it ends. Returns the exit status, as `launch`.
    """
    job, signals = _Job(roles), []
    former = {number: signal.signal(number, lambda number, frame: signals.append(number))
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
              if signal.getsignal(number) != signal.SIG_IGN}  # nohup
    lock, width = threading.Lock(), max(len(role.name) for role in roles)
    log = log or (sys.stdout.buffer if sys.stdout else open(os.devnull, 'wb'))
    copiers = [threading.Thread(target=_copy, args=(role, width, log, lock)) for role in roles]
    end_at = time.monotonic() + (math.inf if time_limit is None else time_limit)
    try:
        for role, copier in zip(roles, copiers):
            role.start()
            copier.start()
        while any(role.running for role in roles):
            time.sleep(0.05)
            job.look(time.monotonic())
            while signals:
                job.interrupt(signals.pop(0))
            if not job.error and time.monotonic() > end_at:
                job.end(TIME_IS_UP, f'the time limit of {time_limit:g} s has passed', _AFTER_LIMIT)
        for copier in copiers:
            copier.join()
    finally:
        for role in roles:
            role.send(signal.SIGKILL)
        for number, handler in former.items():
            signal.signal(number, handler)
    if job.error:
        print(f'd2l-densenet launch: {job.error}', file=sys.stderr, flush=True)
    return job.status


def _copy(role, width, log, lock):
    """Copy the lines that a process writes to the log, each after its name."""
    for line in role.process.stdout:
        with lock:
            try:
                log.write(f'{role.name:{width}} | '.encode() + line.rstrip(b'\n') + b'\n')
                log.flush()
            except OSError:
                # Its reader has gone, or the disk is full. Unread, a process would wait for ever: the rest is dropped.
                os.dup2(os.open(os.devnull, os.O_WRONLY), log.fileno())


class _Job:
    """What has happened to a job: its exit status, why it ends, and when the rest is killed."""

    def __init__(self, roles):
        self.roles, self.status, self.error, self.kill_at, self.ended_well = roles, 0, None, math.inf, None

    def look(self, now):
        """See who has ended, and what follows from that."""
        # Of those that ended within one look, one that was killed comes before one that ended by itself.
        for role in sorted(filter(Role.has_ended, self.roles), key=lambda role: role.process.returncode):
            code = role.process.returncode
            if not code:
                self.ended_well = self.ended_well or (role.name, now)
            elif not self.error:
                how = f'was killed by {signal.Signals(-code).name}' if code < 0 else f'ended with status {code}'
                self.end(code if code > 0 else 128 - code, f'{role.name} {how}, before any other; the others were '
                         'ended', _AFTER_DEATH, everyone=True)
        running = [role for role in self.roles if role.running]
        if not self.error and self.ended_well and now - self.ended_well[1] > _AFTER_SUCCESS:
            self.end(1, f'{self.ended_well[0]} ended well, and {_AFTER_SUCCESS} s later '
                     f'{", ".join(role.name for role in running)} had not: they were ended', 0)
        if self.error and not any(role.works for role in running):
            self.kill_at = min(self.kill_at, now + _AFTER_DEATH)
        if now >= self.kill_at:
            for role in running:
                role.send(signal.SIGKILL)

    def interrupt(self, number):
        """The user's signal: the first is passed on to the workers, another kills all."""
        if self.error:
            self.kill_at = 0
        else:
            what = 'interrupted' if number == signal.SIGINT else f'ended by {signal.Signals(number).name}'
            self.end(128 + number, f'{what}, and the workers told to end', _AFTER_SIGNAL, number)

    def end(self, status, error, seconds, number=signal.SIGTERM, everyone=False):
        """End the job: tell the workers, after which the others end by themselves, or tell everyone."""
        self.status, self.error, self.kill_at = status, error, time.monotonic() + seconds
        for role in self.roles:
            if everyone or role.works:
                role.send(number)


def _free_ports(number):
    """So many free ports of the loopback interface, rising. Another program could take one before it is used."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(('127.0.0.1', 0))) for _ in range(number)]
        return sorted(one.getsockname()[1] for one in sockets)
