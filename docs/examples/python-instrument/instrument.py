"""An instrument without the SDK: Python's standard library, and the NATS protocol over the bus socket.

An event is kept until the broker says that it is stored, and sent again under the same id, so that it is stored once.
"""
import contextlib, json, os, select, socket, time, uuid

NAME = os.environ["BULKHEAD_INSTRUMENT"]
SOCKET = os.environ.get("BULKHEAD_BUS_SOCKET", "/run/bulkhead/bus.sock")
INBOX = f"_INBOX.{NAME}"  # replies go nowhere else
state = {"version": None, "every": 0.0, "greeted": False, "count": 0, "stored": 0}
waiting = {}  # id -> frame of an event that nobody acknowledged yet

def pub(subject, data, reply=""):
    body = json.dumps(data).encode()
    bus.sendall(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")

def emit(kind, data):
    body, key = json.dumps(data).encode(), uuid.uuid4().hex
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    attributes = {"Nats-Msg-Id": key, "ce-specversion": "1.0", "ce-id": key, "ce-source": f"/{NAME}", "ce-type": kind, "ce-time": at}
    head = ("NATS/1.0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in attributes.items()) + "\r\n").encode()
    waiting[key] = f"HPUB ev.{NAME}.{kind} {INBOX}.ack.{key} {len(head)} {len(head) + len(body)}\r\n".encode() + head + body + b"\r\n"
    bus.sendall(waiting[key])

def health():
    return {"state": "ready" if state["version"] else "starting", "detail": "", "restarts": 0, "packets": None, "oldestRecord": None,
            "configVersion": state["version"], "events": {"acknowledged": state["stored"], "refused": 0, "waiting": len(waiting)}}

def configure(command):
    every = command["config"].get("intervalMs", 10000)
    if type(every) is not int or not 100 <= every <= 3600000:
        return {"outcome": "refused", "version": command["version"], "faults": [{"message": "intervalMs: 100 to 3600000"}]}
    state.update(version=command["version"], every=every / 1000)
    return {"outcome": "applied", "version": command["version"]}

def take(subject, reply, data):
    if subject == f"{INBOX}.hello":
        state["greeted"] = data.get("instrument") == NAME
    elif subject.startswith(f"{INBOX}.ack."):  # a PubAck with `seq` says stored; after anything else it is sent again
        if "seq" in data and waiting.pop(subject.split(".")[-1], None):
            state["stored"] += 1
    elif subject.startswith(f"cmd.{NAME}."):
        verb = subject.split(".")[2]
        answers = {"config": lambda: configure(data), "health": health, "resource": lambda: {"outcome": "no-handler"},
                   "retention": lambda: {"removed": 0, "oldest": None}}
        if reply:  # `reload` may come without
            pub(reply, answers.get(verb, dict)())
        if verb == "stop":
            raise SystemExit
        state["greeted"] = state["greeted"] and verb != "reload"
        pub(f"svc.{NAME}.health", health())

def read(data):  # takes whole frames off, returns the rest
    while b"\r\n" in data:
        line, rest = data.split(b"\r\n", 1)
        words = line.decode().split(" ")
        if words[0] in ("MSG", "HMSG"):  # subject, subscription, [reply,] [size of headers,] size of all
            head, size = int(words[-2]) if words[0] == "HMSG" else 0, int(words[-1])
            if len(rest) < size + 2:
                break
            take(words[1], words[3] if len(words) == (5 if words[0] == "MSG" else 6) else "", json.loads(rest[head:size] or b"{}"))
            rest = rest[size + 2:]
        elif words[0] == "PING":
            bus.sendall(b"PONG\r\n")
        data = rest
    return data

def run():
    data, tick, next_event, state["greeted"] = b"", 0.0, 0.0, False
    bus.sendall(f'CONNECT {{"headers":true,"no_responders":true}}\r\nSUB cmd.{NAME}.* 1\r\nSUB {INBOX}.> 2\r\n'.encode())
    while True:
        if select.select([bus], [], [], 0.05)[0]:
            if not (more := bus.recv(65536)):
                return
            data = read(data + more)
        if time.monotonic() >= tick:
            tick = time.monotonic() + 2
            pub(f"svc.{NAME}.health", health()) if state["greeted"] else pub(f"svc.{NAME}.hello", {"sdk": "python-example"}, f"{INBOX}.hello")
            for frame in waiting.values():
                bus.sendall(frame)
        if state["greeted"] and state["version"] and time.monotonic() >= next_event and len(waiting) < 1000:
            next_event, state["count"] = time.monotonic() + state["every"], state["count"] + 1
            emit("python.greeting", {"greeting": "hello", "count": state["count"]})

while True:  # while the platform is away, dial again
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as bus:
        bus.connect(SOCKET)
        run()
    time.sleep(1)
