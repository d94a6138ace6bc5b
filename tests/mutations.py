"""Damage done to files at random, from a seed: for the tests and for benchmarks/fuzz.py."""

import json

NUMBERS = [0, 1, 2, 3, 7, 255, *(2 ** n for n in (15, 16, 31, 40, 62, 63)), *(2 ** n - 1 for n in (31, 32, 64))]


def mutated(rng, content, others):
    """The content with some of its bytes changed, cut, repeated, exchanged or set to a number of our choice."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        # Every other time at the front, where the lengths are.
        at = rng.randrange(min(len(content), 200) if rng.random() < 0.5 else len(content)) if content else 0
        kind = rng.randrange(7)
        if kind == 0 and content:
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and content:
            content[at] = rng.randrange(256)
        elif kind == 2:
            del content[at:]
        elif kind == 3:
            del content[at:at + rng.choice((1, 4, 8, 100))]
        elif kind == 4:
            content[at:at] = content[at:at + rng.randrange(1, 64)]
        elif kind == 5:
            other = rng.choice(others)
            begin = rng.randrange(len(other))
            content[at:at + rng.randrange(64)] = other[begin:begin + rng.randrange(64)]
        else:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice(NUMBERS) % 256 ** size
            content[at:at + size] = number.to_bytes(size, rng.choice(('little', 'big')))
    return bytes(content)


def junk(rng):
    """A value that JSON can hold, and that few expect."""
    return rng.choice([*NUMBERS, -1, -2 ** 63, 10 ** 400, 0.5, -0.0, 1e308, float('nan'), float('inf'), None, True,
                       False, '', 'x', '../../x', '/etc/passwd', '\x1b[2J\n', 'x' * 5000, [], {}, [[]], [None],
                       [0] * 100, {'x': 1}, {'prefix': 3}, [2 ** 40], 'article', 'resnet1001', '__class__'])


def mutated_json(rng, content):
    """The JSON text with some of its values replaced, taken away, renamed or put elsewhere."""
    try:
        root = json.loads(content)
    except (ValueError, RecursionError):
        return mutated(rng, content, [content or b'x'])
    if rng.random() < 0.02:
        return rng.choice((b'[', b'{"a":')) * 10 ** 5
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = [(None, None)]
        todo = [root]
        while todo:
            node = todo.pop()
            for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
                places.append((node, key))
                todo.append(node[key])
        node, key = rng.choice(places[1:] if len(places) > 1 and rng.random() < 0.97 else places)
        if node is None:
            root = junk(rng)
            continue
        kind = rng.randrange(6)
        if kind < 3:
            node[key] = junk(rng)
        elif kind == 3:
            del node[key]
        elif kind == 4 and isinstance(node, dict):
            node[rng.choice(('__class__', 'params', 'name', 'x', '', '../x'))] = node[key]
        else:
            other, place = rng.choice(places[1:])
            node[key] = json.loads(json.dumps(other[place])) if isinstance(
                other, dict) and place in other or isinstance(other, list) and place < len(other) else None
    return json.dumps(root).encode()
