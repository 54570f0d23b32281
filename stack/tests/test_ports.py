"""Fixed ports unless taken."""

import socket

from stack.ports import DEFAULTS, choose, is_free, next_free, scratch


def listen() -> socket.socket:
    server = socket.socket()
    server.bind(("127.0.0.1", scratch("one")["one"]))
    server.listen()
    return server


def test_a_taken_port_gives_way_to_the_next_free_one() -> None:
    with listen() as server:
        taken = server.getsockname()[1]

        assert not is_free(taken)
        assert next_free(taken) > taken
    assert next_free(taken) == taken


def test_no_part_gets_a_port_that_another_prefers() -> None:
    with listen() as server:
        taken = server.getsockname()[1]

        chosen = choose({"kafka": taken, "kafka_controller": taken + 1})

    assert chosen["kafka_controller"] == taken + 1
    assert chosen["kafka"] > taken + 1


def test_a_running_part_keeps_its_port() -> None:
    with listen() as server:
        taken = server.getsockname()[1]

        assert choose({"kafka": taken + 1}, {"kafka": taken}) == {"kafka": taken}


def test_the_default_ports_differ() -> None:
    assert len(set(DEFAULTS.values())) == len(DEFAULTS) == 18
