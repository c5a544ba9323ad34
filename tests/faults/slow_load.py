"""Thousands of slow clients in one loop: each sends or takes one byte a second, and knows what it must get.

Sockets that never block, moved on in turn; a second is cut into slots so that the bytes do not all come at once. Each client
connects from one of several loopback addresses, since one address has no more than some 28,000 ports to connect from.
"""
import errno
import resource
import socket
import struct
import time

SLOTS = 50
WAITING, SENDING, ANSWER, TAKING, DONE, BROKEN = 'waiting', 'sending', 'answer', 'taking', 'done', 'broken'
NOT_NOW = (errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY, errno.ENOTCONN)


def raise_file_limit():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Client:
    """One request: `head` and `burst` bytes of the body at once, the next byte by byte, the last `tail` at once again; then the answer's
    head, and its body byte by byte."""

    def __init__(self, number, port, head, body=b'', burst=0, tail=0, wanted=None, status=200):
        self.number, self.wanted, self.status = number, wanted, status
        self.to_send, self.sent = head + body[:burst], 0
        self.left, self.tail = memoryview(body)[burst:], tail
        self.answer, self.taken, self.state, self.why = b'', 0, WAITING, None
        self.socket = socket.socket()
        # What a client does not take must not be taken for it by the kernel.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        self.socket.bind((f'127.0.0.{2 + number % 100}', 0))
        self.socket.connect_ex(('127.0.0.1', port))

    def step(self):
        """What is due this second."""
        try:
            getattr(self, 'when_' + self.state)()
        except OSError as error:
            if error.errno not in NOT_NOW:
                self.fail(f'{self.state}: {error.strerror}')

    def fail(self, why):
        self.state, self.why = BROKEN, why
        self.socket.close()

    def when_waiting(self):
        self.sent += self.socket.send(self.to_send[self.sent:])
        if self.sent == len(self.to_send):
            self.state = SENDING if self.left else ANSWER

    def when_sending(self):
        due = self.tail if len(self.left) == self.tail else 1
        self.left = self.left[self.socket.send(self.left[:due]):]
        if not self.left:
            self.state = ANSWER

    def head_of_answer(self):
        """Takes the answer's head byte by byte only where a body follows: else it is taken whole."""
        while b'\r\n\r\n' not in self.answer:
            piece = self.socket.recv(1 if self.wanted is not None else 4096)
            if not piece:
                self.fail(f'no answer, but {self.answer[-200:]!r}')
                return False
            self.answer += piece
        status = int(self.answer.split(b' ', 2)[1])
        if status != self.status:
            self.fail(f'status {status}: {self.answer[-300:]!r}')
            return False
        return True

    def when_answer(self):
        if not self.head_of_answer():
            return
        if self.wanted is None:
            self.state = DONE
            self.socket.close()
        else:
            self.state = TAKING

    def when_taking(self):
        self.take(1)

    def take(self, size):
        piece = self.socket.recv(size)
        if not piece:
            self.fail(f'the server ended the answer after {self.taken} bytes')
            return
        if piece != self.wanted[self.taken:self.taken + len(piece)]:
            self.fail(f'byte {self.taken} is not what was stored')
            return
        self.taken += len(piece)
        if self.taken == len(self.wanted):
            self.state = DONE
            self.socket.close()

    def when_done(self):
        pass

    def when_broken(self):
        pass

    def drain(self, seconds=60):
        """From now on as fast as can be; raises OSError where that takes too long."""
        self.socket.settimeout(seconds)
        while self.state == TAKING:
            self.take(1 << 20)

    def cut(self):
        """Leaves in the middle: half of the clients with a reset, half with an end."""
        if self.state in (DONE, BROKEN):
            return
        if self.number % 2:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.socket.close()



class Crowd:
    """All clients; `join` adds some, `run` lets time pass for all of them."""

    def __init__(self):
        self.slots = [[] for _ in range(SLOTS)]
        self.behind = 0.0

    def __iter__(self):
        return (client for slot in self.slots for client in slot)

    def join(self, make, numbers, a_second=1000):
        """Makes a client for each number, so many a second, while those who are there go on."""
        numbers = list(numbers)
        step = max(1, a_second // SLOTS)
        for first in range(0, len(numbers), step):
            for number in numbers[first:first + step]:
                client = make(number)
                self.slots[number % SLOTS].append(client)
            self.tick()

    def tick(self):
        begun = time.monotonic()
        at = int(begun * SLOTS) % SLOTS
        for client in self.slots[at]:
            client.step()
        left = (int(begun * SLOTS) + 1) / SLOTS - time.monotonic()
        self.behind = max(self.behind, -left)
        if left > 0:
            time.sleep(left)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.tick()

    def run_until(self, condition, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not condition():
            self.run(1)

    def count(self):
        counts = {}
        for client in self:
            counts[client.state] = counts.get(client.state, 0) + 1
        return counts

    def faults(self):
        return [f'client {c.number}: {c.why}' for c in self if c.state == BROKEN]
