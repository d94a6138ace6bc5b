"""A job on this machine: scheduler, servers and workers started, watched and ended together.

Left alone, the processes of MXNet's parameter server wait for ever for one that has died. Nothing here imports MXNet.
"""

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
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass


def launch(program, workers=2, servers=1, time_limit=None, log=None):
    """Run a job on this machine, on the loopback interface, until it ends.

    Parameters
    ----------
    program : list of str
        Command line of a worker, ``sys.executable`` first if it is Python.
    workers, servers : int, >= 1
    time_limit : float, optional
        Seconds after which the job is ended.
    log : binary file, optional
        Where every line that a process writes goes, after its name; default: the standard output.

    Returns
    -------
    int
        0 if all ended well; else the status of the one that ended first (128 + number of a signal), 124 if the time
        was up, 130 or 143 after Ctrl-C or SIGTERM.

    Raises
    ------
    ValueError
        If `program` cannot be found.
    """
    if not shutil.which(program[0]):
        raise ValueError(f'{program[0]} is neither train nor a program that can be run')
    # The parameter server numbers the workers by their ports: so the rank is the number in the log.
    *ports, root = _free_ports(workers + servers + 1)
    # What is left of another job, or of a web server's settings (PORT), would get in the way.
    common = {name: value for name, value in os.environ.items() if not name.startswith('DMLC_') and name != 'PORT'}
    common.setdefault('OMP_NUM_THREADS', str(max(1, len(os.sched_getaffinity(0)) // workers)))
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
    copiers = [threading.Thread(target=_copy, args=(role, width, log or sys.stdout.buffer, lock)) for role in roles]
    try:
        for role, copier in zip(roles, copiers):
            role.start()
            copier.start()
        while any(role.running for role in roles):
            time.sleep(0.05)
            job.look(signals, time_limit)
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
            log.write(f'{role.name:{width}} | '.encode() + line.rstrip(b'\n') + b'\n')
            log.flush()


class _Job:
    """What has happened to a job: its exit status, why it ends, and when the rest is killed."""

    def __init__(self, roles):
        self.roles, self.started = roles, time.monotonic()
        self.status, self.error, self.kill_at = 0, None, math.inf
        self.ended_well, self.by_signal = None, False

    def look(self, signals, time_limit):
        """See who has ended, and what follows from that, from the clock and from signals."""
        ended = [role for role in self.roles if role.has_ended()]
        # Of those that ended within one look, one that was killed comes before one that ended by itself.
        for role in sorted(ended, key=lambda role: role.process.returncode):
            self._ended(role)
        for number in signals:
            what = 'interrupted' if number == signal.SIGINT else f'ended by {signal.Signals(number).name}'
            if self.by_signal:
                self.kill_at = 0
            elif not self.error:
                self.by_signal = True
                self._end(128 + number, f'{what}, and the workers told to end', _AFTER_SIGNAL, number)
        signals.clear()
        now = time.monotonic()
        if not self.error and time_limit and now - self.started > time_limit:
            self._end(TIME_IS_UP, f'the time limit of {time_limit:g} s has passed', _AFTER_LIMIT, signal.SIGTERM)
        if not self.error and self.ended_well and now - self.ended_well[1] > _AFTER_SUCCESS:
            running = ', '.join(role.name for role in self.roles if role.running)
            self._end(1, f'{self.ended_well[0]} ended well, and {_AFTER_SUCCESS} s later {running} had not: they were '
                      'ended', 0)
        if now >= self.kill_at:
            for role in self.roles:
                role.send(signal.SIGKILL)

    def _ended(self, role):
        code, now = role.process.returncode, time.monotonic()
        if code == 0:
            self.ended_well = self.ended_well or (role.name, now)
        elif not self.error:
            how = f'was killed by {signal.Signals(-code).name}' if code < 0 else f'ended with status {code}'
            self._end(code if code > 0 else 128 - code, f'{role.name} {how} after {now - self.started:.1f} s, before '
                      'any other; the others were ended', _AFTER_DEATH, signal.SIGTERM, everyone=True)
        # A worker that stops as told says so by its status; any other death is final.
        elif code not in (128 + signal.SIGINT, 128 + signal.SIGTERM) or not any(
                other.running and other.works for other in self.roles):
            self.kill_at = min(self.kill_at, now + _AFTER_DEATH)

    def _end(self, status, error, seconds, number=signal.SIGTERM, everyone=False):
        """End the job: tell the workers, after which the others end by themselves, or tell everyone."""
        self.status, self.error, self.kill_at = status, error, time.monotonic() + seconds
        for role in self.roles:
            if everyone or role.works:
                role.send(number)


def _free_ports(number):
    """So many free ports of the loopback interface, rising. Another program could take one before it is used."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(('127.0.0.1', 0))
        return sorted(one.getsockname()[1] for one in sockets)
    finally:
        for one in sockets:
            one.close()
