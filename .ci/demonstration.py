"""Starts a demonstration server on a free port, for the scripts of this folder."""
import os, re, subprocess, sys, time


def start(program, folder, *more):
    """Starts `ormantrace demo` with its data and its log in `folder`; returns the process and its URL."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("ORMANTRACE_") and name != "DATABASE_URL"}
    # As root, PostgreSQL runs as another user, which needs access to the folder.
    folder.chmod(0o755)
    log = open(folder / "server.log", "w+", encoding="utf-8")
    server = subprocess.Popen([program, "demo", "--listen", "127.0.0.1:0", "--data-dir", str(folder / "data"), *more],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=environment)
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        text = (folder / "server.log").read_text(encoding="utf-8")
        if found := re.search(r" serving address=(\S+)", text):
            return server, f"http://{found.group(1)}"
        time.sleep(0.1)
    server.kill()
    sys.exit(f"{program} does not serve:\n{(folder / 'server.log').read_text(encoding='utf-8')}")
