"""The machines that a wheelhouse is filled for: a Jetson by its JetPack, or this one.

A JetPack goes in; markers, and options for pip, come out.
"""

from __future__ import annotations

from dataclasses import dataclass

from closure import Environment
from packaging.markers import default_environment
from packaging.tags import platform_tags

from edge.qualification.device.jetpack import JetPack


@dataclass(frozen=True)
class Target:
    """The machine to install on: its markers, the tags that its pip accepts, and its JetPack."""

    environment: Environment
    platforms: tuple[str, ...]
    jetpack: JetPack | None

    @property
    def python(self) -> str:
        """Such as "3.10"."""
        return self.environment["python_version"]

    def pip_options(self) -> list[str]:
        """Options that make pip choose wheels for the target."""
        tag = f"cp{self.python.replace('.', '')}"
        full = self.environment["python_full_version"]
        options = ["--python-version", full, "--implementation", "cp", "--only-binary=:all:"]
        for abi in (tag, "abi3", "none"):
            options += ["--abi", abi]
        for platform in self.platforms:
            options += ["--platform", platform]
        return options


def jetson_target(jetpack: JetPack) -> Target:
    """A Jetson with this JetPack."""
    full = ".".join(map(str, jetpack.python))
    version = ".".join(map(str, jetpack.python[:2]))
    manylinux = [f"manylinux_2_{minor}_aarch64" for minor in range(jetpack.glibc[1], 16, -1)]
    return Target(
        {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": "aarch64",
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": full,
            "python_version": version,
            "sys_platform": "linux",
        },
        (*manylinux, "manylinux2014_aarch64"),
        jetpack,
    )


def this_target() -> Target:
    """The machine that this runs on, to try the whole way without a Jetson."""
    return Target(
        {name: str(value) for name, value in default_environment().items()},
        tuple(dict.fromkeys(platform_tags())),
        None,
    )
