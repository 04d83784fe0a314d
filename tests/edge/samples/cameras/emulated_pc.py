"""An emulated PC with Linux's own test camera (vivid), for what no container has: video devices.

`scripts/setup with-vivid` puts Debian's kernel and modules into build/vivid. The PC runs a program
of this checkout on this machine's own files, read only; what it writes below OUT comes back.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT

KERNEL = ROOT / "build" / "vivid" / "vmlinuz"
MODULES = ROOT / "build" / "vivid" / "modules"
OUT = "/run/out"
QEMU = "qemu-system-x86_64"
BUSYBOX = Path("/bin/busybox")

WANTED = ("virtio_pci", "9pnet_virtio", "9p", "vivid")
CAMERAS = "n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0x0,0x0 multiplanar=1,2"
"""Two webcams: /dev/video0 with one plane a picture, /dev/video1 with several."""

VIVID_SIZE, VIVID_FPS = (320, 180), 10.0
"""A mode of vivid's webcam that an emulated processor keeps up with."""

ENDS_WITHIN_S = 900.0

INIT = f"""#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /host
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir /dev/pts
mount -t devpts devpts /dev/pts
for module in $(cat /modules/order); do insmod /modules/$module.ko; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose host /host
mount -t tmpfs tmpfs /host/run
mkdir -p /host{OUT} /host/run/modules
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out /host{OUT}
cp /modules/vivid.ko /bin/busybox /host/run/modules
for folder in proc sys dev dev/pts; do mount -o bind /$folder /host/$folder; done
chroot /host /run/modules/busybox sh {OUT}/program
poweroff -f
"""


def run_in_emulated_pc(arguments: list[str], folder: Path) -> str:
    """Runs a command of this machine in the PC; `folder` is its OUT. Returns the PC's console.

    Skips where there is no emulator or no kernel for it.
    """
    if shutil.which(QEMU) is None or not KERNEL.exists() or not BUSYBOX.exists():
        pytest.skip("no emulated PC here: scripts/setup with-vivid makes one, as root")
    initramfs = folder / "initramfs.gz"
    initramfs.write_bytes(gzip.compress(b"".join(_archive()), 1))
    quoted = " ".join(f"'{argument}'" for argument in arguments)
    (folder / "program").write_text(f"cd {ROOT}\nexport TMPDIR=/run HOME=/root\n{quoted}\n")
    console = folder / "console.txt"
    subprocess.run(
        [
            *(QEMU, "-nodefaults", "-no-reboot", "-display", "none", "-m", "2048", "-smp", "2"),
            *("-cpu", "max", "-kernel", str(KERNEL), "-initrd", str(initramfs)),
            *("-append", "console=ttyS0 panic=-1 quiet mitigations=off"),
            *("-serial", f"file:{console}"),
            *(
                "-virtfs",
                "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
            ),
            *("-virtfs", f"local,path={folder},mount_tag=out,security_model=none"),
        ],
        check=True,
        timeout=ENDS_WITHIN_S,
        capture_output=True,
    )
    return console.read_text(errors="replace")


def _archive() -> Iterator[bytes]:
    """The first files that the kernel sees, as a cpio archive of kind newc."""
    files = {"init": INIT.encode(), "bin/busybox": BUSYBOX.read_bytes()}
    order = _in_order(WANTED)
    files |= {f"modules/{name}.ko": (MODULES / f"{name}.ko").read_bytes() for name in order}
    files["modules/order"] = "\n".join(order[:-1]).encode()
    entries = [("bin", 0o40755, b""), ("modules", 0o40755, b"")]
    entries += [(name, 0o100755, data) for name, data in files.items()]
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        for part in (header + name.encode() + b"\0", data):
            yield part + b"\0" * (-len(part) % 4)


def _in_order(wanted: tuple[str, ...]) -> list[str]:
    """Modules with those that they depend on, each after its own."""
    found: list[str] = []

    def add(name: str) -> None:
        file = (MODULES / f"{name}.ko").read_bytes()
        depends = re.search(rb"\0depends=([^\0]*)\0", file)
        assert depends is not None
        for one in depends[1].decode().replace("-", "_").split(","):
            if one and one not in found:
                add(one)
        if name not in found:
            found.append(name)

    for name in wanted:
        add(name)
    return found
