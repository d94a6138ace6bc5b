"""A job on this machine: scheduler, servers and workers started, watched and ended together.

Left alone, the processes of MXNet's parameter server wait for ever for one that has died. Nothing here imports MXNet.
"""

import ctypes
import dataclasses
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time

__all__ = ['Role', 'launch', 'supervise']

#: Exit status when the time limit has passed, as of timeout(1).
TIME_IS_UP = 124

# Seconds: for what is told to end because another has died; for workers to end their step and write a checkpoint when
# the time limit has passed, and when the user ends the job; for the others once one has ended well.
_AFTER_DEATH, _AFTER_LIMIT, _AFTER_SIGNAL, _AFTER_SUCCESS = 2, 6, 30, 120

_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass
class Role:
    """A process of the job: its `name` in the log, its command line, its environment."""

    name: str
    command: list
    environment: dict
    process: subprocess.Popen | None = None
    begun: bytes = b''


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
    return _Supervisor(roles, time_limit, log or sys.stdout.buffer).run()


class _Supervisor:
    def __init__(self, roles, time_limit, log):
        self.roles, self.time_limit, self.log = roles, time_limit, log
        self.selector = selectors.DefaultSelector()
        self.width = max(len(role.name) for role in roles)
        self.status, self.error = 0, None
        self.kill_at, self.ended_well, self.by_signal = None, None, None

    def run(self):
        self.signals = []
        former = {number: signal.signal(number, self._note)
                  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
                  if signal.getsignal(number) != signal.SIG_IGN}  # nohup
        self.started = time.monotonic()
        try:
            for role in self.roles:
                self._start(role)
            while any(role.process.returncode is None for role in self.roles):
                self._copy(0.05)
                self._look()
            self._copy(0)
        finally:
            for role in self.roles:
                self._kill(role, signal.SIGKILL)
            for number, handler in former.items():
                signal.signal(number, handler)
        for role in self.roles:
            self._lines(role, b'\n' if role.begun else b'')
        if self.error:
            print(f'd2l-densenet launch: {self.error}', file=sys.stderr, flush=True)
        return self.status

    def _note(self, number, frame):
        self.signals.append(number)

    def _start(self, role):
        parent = os.getpid()

        def tie():  # to the life of this process
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        # The new session keeps the terminal's Ctrl-C away: it comes here, and is passed on once.
        role.process = subprocess.Popen(role.command, env=role.environment, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                                        preexec_fn=tie)
        os.set_blocking(role.process.stdout.fileno(), False)
        self.selector.register(role.process.stdout, selectors.EVENT_READ, role)

    def _copy(self, seconds):
        """Wait for output up to so long, and copy what there is."""
        for key, _ in self.selector.select(seconds):
            content = key.fileobj.read()
            if content:
                self._lines(key.data, content)
            elif content is not None:
                self.selector.unregister(key.fileobj)
        if not self.selector.get_map():
            time.sleep(seconds)

    def _lines(self, role, content):
        *whole, role.begun = (role.begun + content).split(b'\n')
        for line in whole:
            self.log.write(f'{role.name:{self.width}} | '.encode() + line + b'\n')
        if whole:
            self.log.flush()

    def _look(self):
        """See who has ended, and what follows from it, from the clock and from signals."""
        now = time.monotonic()
        ended = [role for role in self.roles if role.process.returncode is None and self._has_ended(role)]
        # Of those that ended within one look, one that was killed comes before one that ended by itself.
        for role in sorted(ended, key=lambda role: role.process.returncode):
            self._ended(role, now)
        while self.signals:
            number = self.signals.pop(0)
            if self.by_signal:
                self.kill_at = now
            elif self.kill_at is None:
                self.by_signal, self.status = number, 128 + number
                what = 'interrupted' if number == signal.SIGINT else f'ended by {signal.Signals(number).name}'
                self.error = f'{what}, and the workers told to end'
                self._tell_workers(number, now + _AFTER_SIGNAL)
        if self.time_limit and self.kill_at is None and now - self.started > self.time_limit:
            self.status, self.error = TIME_IS_UP, f'the time limit of {self.time_limit:g} s has passed'
            self._tell_workers(signal.SIGTERM, now + _AFTER_LIMIT)
        if self.ended_well and self.kill_at is None and now - self.ended_well[1] > _AFTER_SUCCESS:
            running = [role.name for role in self.roles if role.process.returncode is None]
            self.status, self.error = 1, (f'{self.ended_well[0]} ended well, and {_AFTER_SUCCESS} s later there were '
                                          f'still {", ".join(running)}: they were ended')
            self.kill_at = now
        if self.kill_at is not None and now >= self.kill_at:
            for role in self.roles:
                self._kill(role, signal.SIGKILL)

    def _has_ended(self, role):
        if os.waitid(os.P_PID, role.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        # While it is not yet reaped its group cannot be another's; what it has left behind in it ends now.
        self._kill(role, signal.SIGKILL)
        role.process.poll()
        return True

    def _ended(self, role, now):
        code = role.process.returncode
        if code == 0:
            self.ended_well = self.ended_well or (role.name, now)
            return
        if self.kill_at is not None:
            # Something has gone before. A worker that stops as told says so by its status; any other death is final.
            working = [other.name for other in self.roles if other.process.returncode is None and _works(other)]
            if code not in (128 + signal.SIGINT, 128 + signal.SIGTERM) or not working:
                self.kill_at = min(self.kill_at, now + _AFTER_DEATH)
            return
        how = f'was killed by {signal.Signals(-code).name}' if code < 0 else f'ended with status {code}'
        self.status = code if code > 0 else 128 - code
        self.error = f'{role.name} {how} after {now - self.started:.1f} s, before any other; the others were ended'
        self.kill_at = now + _AFTER_DEATH
        for other in self.roles:
            self._kill(other, signal.SIGTERM)

    def _tell_workers(self, number, kill_at):
        """Let the workers end by themselves: the others end when the last worker has."""
        self.kill_at = kill_at
        for role in self.roles:
            if _works(role):
                self._kill(role, number)

    def _kill(self, role, number):
        """Send a signal to the group of a role that is not yet reaped."""
        if role.process is not None and role.process.returncode is None:
            try:
                os.killpg(role.process.pid, number)
            except ProcessLookupError:
                pass


def _works(role):
    return role.name.startswith('worker')


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
