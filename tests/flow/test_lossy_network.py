"""The test network itself: what its rules say happens to the frames, and nothing else."""

import time

import pytest

import net
import network
import trace
import traffic

pytestmark = pytest.mark.capture


def get_many(count, target="/size/3000"):
    def kind(front):
        client = traffic.peers.Peer(front.address, timeout_s=60)
        for _ in range(count):
            assert client.get(target).status == 200
        client.close()

    return kind


def test_without_rules_nothing_is_lost(lossy, origin, proxy):
    calm = lossy()
    _, front = calm.front(origin, proxy, traffic.answer_by_target, trace=False)
    calm.run_clients(front, [get_many(20)] * 2)
    for link in (calm.client_link, calm.backend_link):
        until = time.monotonic() + 10
        while any(each["frames"] != each["passed"] for each in link.counters().values()):
            assert time.monotonic() < until, link.counters()  # the last ones are on their way
        for way, count in link.counters().items():
            assert count["passed"] > 40, (way, count)
            for what in ("dropped", "duplicated", "reordered", "overflowed", "refused"):
                assert count[what] == 0, (way, count)


def test_each_rule_happens_as_often_as_it_says(lossy, origin, proxy):
    rough = lossy(seed=5, client=({"drop_ppm": 50000, "delay_us": 500},
                                  {"duplicate_ppm": 100000, "reorder_ppm": 50000,
                                   "reorder_us": 800}))
    _, front = rough.front(origin, proxy, traffic.answer_by_target, trace=False)
    rough.run_clients(front, [get_many(100)] * 4)
    count = rough.client_link.counters()
    assert 0.03 < count["up"]["dropped"] / count["up"]["frames"] < 0.07
    assert 0.07 < count["down"]["duplicated"] / count["down"]["frames"] < 0.13
    assert 0.03 < count["down"]["reordered"] / count["down"]["frames"] < 0.07
    assert count["up"]["duplicated"] == count["down"]["dropped"] == 0


def test_delay_and_rate_take_their_time(lossy, origin, proxy):
    slow = lossy(client={"delay_us": 20000}, backend=({}, {"rate_kbit": 16000}))
    _, front = slow.front(origin, proxy, traffic.answer_by_target, trace=False)
    began = time.monotonic()
    slow.run_clients(front, [get_many(2, "/size/200000")])
    took = time.monotonic() - began
    assert took > 3 * 0.04 + 2 * 0.1, took  # handshake and two trips; 400 KB at 2 MB/s


def test_a_frame_is_lost_on_demand(lossy, origin, proxy, peer):
    calm = lossy()
    _, front = calm.front(origin, proxy, traffic.answer_by_target, trace=False)
    with net.inside(calm.client):
        client = peer(front)
        assert client.get("/size/10").status == 200
        calm.client_link.set(up={"drop_next": 1})
        assert client.get("/size/10").status == 200
    assert calm.client_link.counters()["up"]["dropped"] == 1


def test_a_traced_proxy_on_it(lossy, origin, proxy):
    """Both legs over cables that lose; every interface is an Ethernet, as loopback is."""
    rough = lossy(seed=2, client=network.ROUGH, backend=network.ROUGH)
    _, front = rough.front(origin, proxy, traffic.answer_by_target)
    rough.run_clients(front, [get_many(10)] * 3)
    front.stop(timeout_s=30)
    lines = trace.flows(front.trace_dir)
    trace.check_folder(front.trace_dir, lines)
    trace.assert_agrees_with_tshark(front.trace_dir, trace.dump_of(front.trace_dir), lines)
    assert len(lines) == 30


@pytest.mark.parametrize("offload", [False, True])
def test_segments_of_64_kib(lossy, origin, proxy, offload):
    """With offload the dump holds segments larger than what a cable carries in one frame."""
    wide = lossy(offload=offload)
    _, front = wide.front(origin, proxy, traffic.answer_by_target)
    wide.run_clients(front, [get_many(2, "/size/1048576")])
    front.stop(timeout_s=30)
    largest = max(row["len"] for row in trace.Segments(trace.dump_of(front.trace_dir)).rows)
    assert (largest > 1460) == offload, largest
