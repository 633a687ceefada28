"""Several real daemons on one real PostgreSQL, each behind a proxy of its own, beside a simulated Cloudflare.

What is written into the database is kept by triggers, with who wrote it and by the server's clock: that is what the
laws look at afterwards.
"""

import json
import signal
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from itertools import pairwise

from tests.harness.alerting import Receiver
from tests.harness.between import between
from tests.harness.fleet import timed_out
from tests.harness.forkserver import Nursery
from tests.harness.processes import until

ACCOUNTS = ("alpha", "beta", "gamma", "delta")
LATE = 0.05
"""Seconds that one request may be on its way for longer than another."""
SOON = {"initializing": "0.1s", "timing_out": "0.1s"}
KEPT = """
CREATE TABLE public.law (number bigserial, kind text, account text, writer text, now bigint, before text,
  before_epoch bigint, before_expires bigint, holder text, instance text, epoch bigint, expires bigint, was text);
CREATE FUNCTION public.law_now() RETURNS bigint LANGUAGE sql AS
  $$ SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) $$;
CREATE FUNCTION public.law_intent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO public.law (kind, account, writer, now, holder, instance, epoch, expires)
    SELECT 'intent', NEW.account, current_setting('application_name'), public.law_now(), l.holder, l.instance,
      l.epoch, l.expires FROM (SELECT 1) AS one LEFT JOIN certpack_watchdog.leases AS l ON l.account = NEW.account;
  RETURN NEW; END $$;
CREATE FUNCTION public.law_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF OLD.instance IS DISTINCT FROM NEW.instance OR OLD.epoch IS DISTINCT FROM NEW.epoch THEN
    INSERT INTO public.law (kind, account, writer, now, before, before_epoch, before_expires, holder, instance, epoch,
        expires, was)
      VALUES ('lease', NEW.account, current_setting('application_name'), public.law_now(), OLD.instance, OLD.epoch,
        OLD.expires, NEW.holder, NEW.instance, NEW.epoch, NEW.expires, OLD.holder);
  END IF;
  RETURN NEW; END $$;
CREATE TRIGGER law AFTER INSERT ON certpack_watchdog.intents FOR EACH ROW EXECUTE FUNCTION public.law_intent();
CREATE TRIGGER law AFTER UPDATE ON certpack_watchdog.leases FOR EACH ROW EXECUTE FUNCTION public.law_lease();
"""


def fleet(zones=3, packs=4):
    """Four accounts of restless packs, and in each a pack that a person must be told of."""
    found = {}
    for account in ACCOUNTS:
        for number in range(zones):
            found[f"{account}{number}.example"] = [
                timed_out(hosts=[f"h{each}.example"], story={"stages": SOON}) for each in range(packs)
            ]
        found[f"{account}-odd.example"] = [{"type": "advanced", "status": "expired"}]
    return found


class Replica:
    """One of them: its way to the database, its configuration, its process."""

    def __init__(self, name, way, path):
        self.name, self.way, self.path = name, way, path
        self.process = None
        self.stopped = False

    @property
    def runs(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.runs:
            self.process.signal(number)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)


class Deployment:
    """All of them. ``with`` it, then ``start``."""

    def __init__(self, machine, server, ports, **settings):
        """``ports`` are where the database is to be found: one for each replica."""
        self._machine, self.server = machine, server
        self.lease = settings.pop("lease", 2.0)
        self.backoff = settings.pop("backoff", 5.0)
        self.quota = settings.pop("quota", (10**6, 300.0))  # requests of each account, in so many seconds
        self._settings = settings
        self._stack = ExitStack()
        self.hook = self._stack.enter_context(Receiver())
        self._nursery = self._stack.enter_context(Nursery(machine.folder))
        self.replicas = [self._replica(number, port) for number, port in enumerate(ports)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for replica in self.replicas:
            replica.thaw()
            replica.signal(signal.SIGKILL)
        self._stack.close()

    def _replica(self, number, port):
        name = f"replica-{number}"
        way = self._stack.enter_context(between(port))
        url = f"postgresql://postgres@127.0.0.1:{way.port}/postgres?schema=certpack_watchdog&application_name={name}"
        accounts = {
            each: {
                "api_token": f"token-of-{each}",
                "rate_limit": {"requests": self.quota[0], "per": f"{self.quota[1]}s", "share": 1.0},
            }
            for each in ACCOUNTS
        }
        config = self._machine.config(
            accounts=accounts,
            schedule={"interval": "0.5s", "attention_interval": "0.2s"},
            restart={
                "backoff": {"initial": f"{self.backoff}s", "factor": 1.0, "max": f"{self.backoff}s", "jitter": 0.1},
                "max_attempts": 100,
                "max_per_hour": 100_000,
            },
            alerts={"destinations": [{"name": "hook", "webhook": f"{self.hook.url}/{name}"}]},
            state={"url": url},
            replica={"name": name, "lease": f"{self.lease}s"},
        )
        config |= self._settings
        for zone in config["zones"]:
            zone["account"] = zone["name"].partition(".")[0].rstrip("0123456789").removesuffix("-odd")
        path = self._machine.folder / f"{name}.json"
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        return Replica(name, way, path)

    # ── what is done to them ─────────────────────────────────────────────────────────────────────────────────────

    def begin(self):
        """The first makes the tables; then all of them work, and what is written is kept."""
        self.start(self.replicas[0])
        self.up(self.replicas[0])
        self.keep()
        self.start()
        self.up()
        self.all_held()

    def start(self, *replicas):
        for replica in replicas or self.replicas:
            if not replica.runs:
                replica.process = self._nursery.run("run", "--config", replica.path)

    def up(self, *replicas, patience=20):
        """Each has begun to work."""
        for replica in replicas or self.replicas:
            until(lambda: replica.process.lines("started") or not replica.runs, f"a start of {replica.name}", patience)  # noqa: B023  called here
            assert replica.runs, f"{replica.name} has ended: {replica.process.output[-2000:]}"

    def keep(self):
        """From now on the database keeps what the laws look at."""
        self.server.execute(KEPT)

    def fail_over(self, server):
        """The database is another server from now on."""
        self.server = server
        for replica in self.replicas:
            replica.way.target = server.port

    def stop(self, replica):
        """SIGTERM; gives the exit code."""
        replica.signal(signal.SIGTERM)
        return replica.process.ended()

    def kill(self, replica):
        replica.thaw()
        replica.signal(signal.SIGKILL)
        replica.process.ended()

    # ── what is seen of them ─────────────────────────────────────────────────────────────────────────────────────

    def holders(self):
        """Each account's holder by the database, where its lease is not over."""
        rows = self.server.execute(
            "SELECT account, holder FROM certpack_watchdog.leases"
            " WHERE expires > extract(epoch FROM clock_timestamp()) * 1000000"
        )
        return {account: holder for account, holder in rows if account in ACCOUNTS}

    def all_held(self, patience=20):
        """Every account has a holder."""
        until(lambda: self.holders().keys() == set(ACCOUNTS), "a holder of every account", patience)

    def looks(self, account):
        """When its zones were looked at, in seconds."""
        return [
            request.at.timestamp()
            for request in list(self._machine.world.ledger)
            if request.credential == account and request.method == "GET"
        ]

    def patches(self):
        """When each pack's PATCHes arrived, in seconds."""
        found = defaultdict(list)
        for request in self._machine.patches():
            found[request.path.rpartition("/")[2]].append(request.at.timestamp())
        return found

    def output(self):
        return "\n".join(f"── {each.name}\n{each.process.output[-2500:]}" for each in self.replicas if each.process)

    # ── the laws ─────────────────────────────────────────────────────────────────────────────────────────────────

    def works(self, patience=20):
        """Every pack is restarted again, from now on."""
        began = time.time()

        def restarted():
            return {pack for pack, at in self.patches().items() if at[-1] > began}

        busy = set(self.patches())
        until(lambda: restarted() >= busy, "a restart of every pack", patience)

    def check(self):
        """What was seen at Cloudflare, and what the database kept. Gives how often an account was taken over."""
        self.check_intents()
        self._quotas_were_kept()
        self._told_once()
        return self._leases_were_kept()

    def _quotas_were_kept(self):
        """No window of any account has more requests than are its share, whoever sent them."""
        requests, seconds = self.quota
        arrived = defaultdict(list)
        for request in list(self._machine.world.ledger):
            arrived[request.credential].append(request.at.timestamp())
        for account, moments in arrived.items():
            for first, after in zip(moments, moments[requests:], strict=False):
                assert after - first >= seconds - LATE, f"{account}: {requests + 1} requests in {after - first:.3f} s"

    def _told_once(self):
        """Two tell the same only where the account was taken over in between, and then once."""
        told, doubles = {}, Counter()  # by alert: what kind of news, and who told it
        for got in self.hook.got:
            who = got.path.strip("/")
            for alert in got.json["alerts"]:
                before = told.get(alert["fingerprint"])
                told[alert["fingerprint"]] = alert["kind"], who
                if before is not None and before[0] == alert["kind"] != "lasting" and before[1] != who:
                    doubles[alert["account"] or ""] += 1
        taken = dict(
            self.server.execute(
                "SELECT account, count(*) FROM public.law WHERE kind = 'lease' AND instance <> '' GROUP BY account"
            )
        )
        for account, count in doubles.items():
            assert count <= taken.get(account, 0), f"{account!r}: {count} things were told by two, {taken} were taken"

    def check_intents(self):
        """Every PATCH was counted before it left, and waited as long as it had to. Gives the number of intents."""
        seen = self.patches()  # before the intents, for they work on
        rows = self.server.execute("SELECT pack_id, at, next_restart_at FROM certpack_watchdog.intents ORDER BY id")
        intents = defaultdict(list)
        for pack, at, due in rows:
            intents[pack].append((at, due))
        assert seen.keys() <= intents.keys()
        for pack, arrived in seen.items():
            assert len(arrived) <= len(intents[pack]), f"{pack} has PATCHes that nobody counted"
            for (_, due), (later, _) in pairwise(intents[pack]):
                assert later >= due, f"{pack} has intents closer than its backoff"
            for earlier, later in pairwise(arrived):
                # Between an intent and its PATCH a process may be stopped, for no longer than its lease.
                assert later - earlier > self.backoff - self.lease - 0.5, (
                    f"{pack}: PATCHes {later - earlier:.2f} s apart"
                )
        return len(rows)

    def _leases_were_kept(self):
        changes = 0
        for (row,) in self.server.execute("SELECT to_jsonb(law) FROM public.law ORDER BY number"):
            now = row["now"]
            if row["kind"] == "intent":
                assert row["holder"] == row["writer"], f"an intent of one who does not hold the account: {row}"
                assert row["expires"] > now - 1000, f"an intent under a lease that is over: {row}"
                continue
            if row["before"] == row["instance"]:
                assert row["epoch"] >= row["before_epoch"], row
                continue
            changes += 1
            free = not row["before"] or row["before_expires"] <= now or row["was"] == row["writer"]
            assert free, f"a lease was taken from one who has it: {row}"
            assert row["epoch"] > row["before_epoch"] or not row["instance"], row
        return changes
