"""Do the client's journal, the backend's and the proxy's log tell the same story?

A session is found in the log by its client's address, which nobody else has; an arrival at the
backend by the address it came from and the offset of its first byte. Every rule is about one
exchange; what is wrong is collected, so that one seed shows all of it.
"""

import collections

import log
import random_plan

NO_ANSWER = {"client-eof", "client-reset", "client-stalled"}


def of(found, name):
    """The first lines of what is wrong, for a failure's text."""
    return "\n".join([f"{len(found)} findings, {name}"] + found[:20])


class Judge:
    def __init__(self, run, backend, lines):
        self.run = run
        self.backend = backend
        self.found = list(run.errors) + list(backend.faults)
        self.counts = collections.Counter()
        self.by_host = collections.defaultdict(list)
        for line in lines:
            self.by_host[line["client"]["peer"].rsplit(":", 1)[0]].append(line)

    def say(self, sent, line, text):
        self.found.append(f"{sent.plan.name if sent else '-'}: {text}; "
                          f"{line and (line['end'], line['status'], line['client'], line['backend'])}")

    def judge(self):
        """What is wrong, as sentences."""
        for client in self.run.clients:
            lines = self.by_host.pop(client.session.address, [])
            if client.fault:
                self.found.append(f"session {client.session.number}: {client.fault}")
            self._session(client, lines)
        for host, lines in self.by_host.items():
            self.found.append(f"{len(lines)} lines of {host}, which never connected")
        self._repeats()
        return self.found

    def _session(self, client, lines):
        """One connection: its lines in order, one for each exchange that was begun."""
        if any(x["client"]["peer"] != client.local for x in lines):
            self.found.append(f"session {client.session.number}: another port in the log")
        lines.sort(key=lambda x: x["client"]["nth"])
        if [x["client"]["nth"] for x in lines] != list(range(1, len(lines) + 1)):
            self.found.append(f"session {client.session.number}: nth "
                              f"{[x['client']['nth'] for x in lines]}")
        if len(lines) > len(client.sent):
            self.found.append(f"session {client.session.number}: {len(lines)} lines of "
                              f"{len(client.sent)} requests")
        for sent, line in zip(client.sent, lines):
            self._exchange(sent, line)
        self._without_line(client, lines)

    def _without_line(self, client, lines):
        """Requests that were never begun: only behind one that ended the connection."""
        if len(lines) >= len(client.sent):
            return
        first = client.sent[len(lines)]
        if first.got in ("response", "tunnel", "truncated"):
            self.say(first, None, "answered without a line")
        elif first.got != "left" and client.ended != "left":
            last = client.sent[len(lines) - 1] if lines else None
            if last is None or not (last.closing or last.got != "response"
                                    or last.plan.fault == "half close"):
                self.say(first, lines[-1] if lines else None, "lost without a line")

    # ---- one exchange ----

    def _exchange(self, sent, line):
        self.counts[line["end"]] += 1
        self.counts["fault " + str(sent.plan.fault)] += 1
        self._request(sent, line)
        if sent.got in ("response", "tunnel"):
            self._answered(sent, line)
        elif sent.got in ("truncated", "closed"):
            if line["end"] == "done":
                self.say(sent, line, f"{sent.got} by {sent.how}, but done")
            if sent.got == "closed" and sent.how == "timeout":
                self.say(sent, line, "a hang")
        self._backend_leg(sent, line)

    def _request(self, sent, line):
        if sent.plan.fault != "malformed" and line["target"] not in (None, f"/r/{sent.plan.name}"):
            self.say(sent, line, f"the target {line['target']}")
        r = line["client"]["request"]
        if r is None:
            self.say(sent, line, "no request range")
        elif sent.plan.fault != "malformed":  # blank lines may stand before such a one
            whole = line["at_us"]["request_end"] is not None
            if r[0] != sent.first or r[1] > sent.past or (whole and r[1] != sent.past):
                self.say(sent, line, f"request {r}, sent [{sent.first}, {sent.past}]")
            if whole and not sent.whole:
                self.say(sent, line, "a whole request that never was")

    def _answered(self, sent, line):
        response = sent.response
        if line["status"] != response.status:
            self.say(sent, line, f"the client was told {response.status}")
        if line["client"]["response"] != response.range:
            self.say(sent, line, f"the client got {response.range}")
        if line["client"]["interim"] != response.interim_range:
            self.say(sent, line, f"the client got interim {response.interim_range}")
        if not sent.body_is_right:
            self.say(sent, line, f"a body that is not {sent.reply_name}'s")
        if sent.reply_name is None:
            self._answered_by_proxy(sent, line)
        elif sent.got == "tunnel":
            for leg in ("client", "backend"):
                self._tunnel(sent, line, line[leg]["tunnel"])
        elif line["end"] != "done":
            self.say(sent, line, "complete for the client")
        if sent.got == "response":
            self._soap(sent, line)

    def _soap(self, sent, line):
        """Operation and fault, where they are looked for and have passed."""
        operation = fault = None
        if self.run.soap_is_read:
            operation = sent.plan.operation
        if self.run.soap_is_read and sent.reply_name:
            reply = sent.plan.reply(int(sent.reply_name.split("/")[2]))
            if reply.fault:
                fault = {"code": "e:Server", "string": reply.name}
        if line["at_us"]["request_end"] is not None and line["soap"]["operation"] != operation:
            self.say(sent, line, f"operation {line['soap']['operation']}, sent {operation}")
        if sent.reply_name and line["soap"]["fault"] != fault:
            self.say(sent, line, f"fault {line['soap']['fault']}, told {fault}")

    def _answered_by_proxy(self, sent, line):
        if line["end"] == "done" or line["end"] in NO_ANSWER:
            self.say(sent, line, "an answer of the proxy's own")
        if sent.plan.fault == "malformed":
            expected = (sent.plan.bad_status, sent.plan.bad_end)
            if (line["status"], line["end"]) != expected:
                self.say(sent, line, f"malformed: expected {expected}")
        elif line["end"].startswith("backend-") and not self._excused(sent, line):
            self.say(sent, line, "a good exchange failed")
        elif line["end"] == "bad-request":
            self.say(sent, line, "a good request was refused")

    def _excused(self, sent, line):
        """The backend did, or may have done, what the line accuses it of."""
        arrivals = self._arrivals(sent)
        if not arrivals:
            return True  # it left before it had read the head
        last = arrivals[-1]
        return not last.whole or not last.reply_whole

    def _tunnel(self, sent, line, tunnel):
        plan = sent.plan
        for way, body in (("up", plan.up), ("down", plan.down)):
            r = tunnel[way] or [0, 0]
            if r[1] - r[0] != len(body):
                self.say(sent, line, f"tunnel {way} of {len(body)} bytes: {r}")
        expected = "tunnel-client" if plan.client_closes else "tunnel-backend"
        if line["end"] != expected:
            self.say(sent, line, f"tunnel: expected {expected}")

    # ---- the backend's side ----

    def _arrivals(self, sent):
        return self.backend.seen.get((sent.plan.session, sent.plan.index), [])

    def _backend_leg(self, sent, line):
        arrivals = self._arrivals(sent)
        if sent.plan.fault in ("malformed", "cut head", "stall in head") and arrivals:
            self.say(sent, line, "forwarded although it was none")
        legs = [(t["local"], t["request"]) for t in (line["backend"] or {}).get("tries", [])]
        if line["backend"]:
            legs.append((line["backend"]["local"], line["backend"]["request"]))
        for seen in arrivals:
            if not any(local == seen.remote and r and r[0] == seen.first for local, r in legs):
                self.say(sent, line, f"the backend saw it from {seen.remote} at {seen.first}")
            if seen.whole and not (seen.body_is_right and sent.whole):
                self.say(sent, line, "another body at the backend")
        if sent.plan.method not in random_plan.IDEMPOTENT and len(arrivals) > 1:
            self.say(sent, line, "sent twice to the backend")
        if arrivals and line["end"] == "done":
            self._served(sent, line, arrivals[-1])
        elif line["end"] == "done":
            self.say(sent, line, "done, and the backend never saw it")

    def _served(self, sent, line, seen):
        leg = line["backend"]
        self.counts["manner " + seen.reply.manner] += 1
        if leg["local"] != seen.remote or leg["request"][0] != seen.first:
            self.say(sent, line, "served by another connection")
        if seen.whole and leg["request"][1] != seen.past:
            self.say(sent, line, f"the backend read [{seen.first}, {seen.past}]")
        if not seen.reply_whole:
            self.say(sent, line, f"done by a reply that is not whole: {seen.reply.manner}")
        else:
            first = seen.reply_first
            if leg["response"] != [first, first + seen.reply.whole_bytes]:
                self.say(sent, line, f"the backend's response began at {first}")

    def _repeats(self):
        known = {(s.plan.session, s.plan.index) for c in self.run.clients for s in c.sent}
        for key in set(self.backend.seen) - known:
            self.found.append(f"the backend saw {key}, which nobody sent")


def judge(run, backend, log_path):
    """(findings, counts, number of lines) of a run that is over."""
    lines = log.read_lines(log_path)
    log.check_log(lines)
    it = Judge(run, backend, lines)
    return it.judge(), it.counts, len(lines)
