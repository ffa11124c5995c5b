# ondemand.py cold ROUNDS TIER PORT | swap ROUNDS TIER PORT TIER PORT
#
# Measures in the bed what the gateway adds to the start of a tier: the time from a request that finds it down to its
# answer, and from `systemctl start` to the same request's answer by the engine itself, asked again every millisecond.
# Writes one line a round: milliseconds by systemctl, milliseconds through the gateway.
import json
import socket
import subprocess
import sys
import time

QUIET = 1.2  # seconds after an answer: by then the gateway has told tierd that the tier is idle


def ask(family, address, model):
    """Sends one request on a connection of its own and returns the status, None when there is no whole answer."""
    body = json.dumps({"model": model, "max_tokens": 1, "temperature": 0, "messages": [{"role": "user", "content": "Hello"}]})
    with socket.socket(family) as s:
        s.settimeout(60)
        try:
            s.connect(address)
            s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                      f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
            answer = b""
            while piece := s.recv(65536):
                answer += piece
        except (FileNotFoundError, ConnectionError):
            return None, b""
    if not answer:
        return None, answer
    return int(answer.split(b" ", 2)[1]), answer


def settle():
    time.sleep(QUIET)


def systemctl(*words):
    subprocess.run(["systemctl", *words], check=True)


def by_systemctl(tier, stop=None):
    """From the command to the engine's answer; stop names a tier that has to end before."""
    begin = time.perf_counter()
    if stop:
        systemctl("stop", f"tier-{stop}.service")
    systemctl("start", "--no-block", f"tier-{tier}.service")
    while time.perf_counter() - begin < 60:
        status, answer = ask(socket.AF_UNIX, f"/run/tier/tier-{tier}/engine.sock", tier)
        if status == 200 and b'"choices"' in answer:
            took = time.perf_counter() - begin
            # What comes next begins with a tier that systemd, too, has as ready.
            systemctl("start", f"tier-{tier}.service")
            return took * 1000
        time.sleep(0.001)
    sys.exit(f"{tier} gave no answer in a minute; the last one was {status}: {answer}")


def by_gateway(tier, port):
    """From a request to its answer."""
    begin = time.perf_counter()
    status, answer = ask(socket.AF_INET, ("127.0.0.1", port), tier)
    if status != 200 or b'"choices"' not in answer:
        sys.exit(f"port {port} answered {answer}")
    return (time.perf_counter() - begin) * 1000


def down(tier):
    systemctl("stop", f"tier-{tier}.service")
    subprocess.run(["systemctl", "reset-failed", f"tier-{tier}.service"], stderr=subprocess.DEVNULL)
    time.sleep(0.3)  # what systemd and tierd still have to do is not a part of the next start


def cold(rounds, tier, port):
    ways = [lambda: by_systemctl(tier), lambda: by_gateway(tier, port)]
    for n in range(rounds):
        took = [0, 0]
        for way in (0, 1) if n % 2 == 0 else (1, 0):
            down(tier)
            took[way] = ways[way]()
        print(*took)


def swap(rounds, tier, port, other, other_port):
    """Each round goes there one way and back the other."""
    ports = {tier: port, other: other_port}
    systemctl("start", f"tier-{tier}.service")
    up, to = tier, other
    for n in range(rounds):
        took = [0, 0]
        for way in (0, 1) if n % 2 == 0 else (1, 0):
            settle()
            took[way] = by_systemctl(to, stop=up) if way == 0 else by_gateway(to, ports[to])
            subprocess.run(["systemctl", "reset-failed", "tier-*"], stderr=subprocess.DEVNULL)
            up, to = to, up
        print(*took)


if sys.argv[1] == "cold":
    cold(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
else:
    swap(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5], int(sys.argv[6]))
