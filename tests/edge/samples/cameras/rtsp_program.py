"""An RTSP server as a network camera has one: GStreamer's own, by ctypes, in a process of its own.

`python rtsp_program.py LIBRARY PORT WIDTH HEIGHT FPS [USER:PASSWORD]` serves a moving test picture
as MJPEG at rtsp://127.0.0.1:PORT/front and prints the port when it listens.
"""

from __future__ import annotations

import ctypes
import sys

_STRING, _BOOLEAN = ctypes.c_size_t(64), ctypes.c_size_t(20)  # GType of gchararray and gboolean
_Pointer, _Text = ctypes.c_void_p, ctypes.c_char_p


def main(library: str, port: str, *picture: str, account: str) -> None:
    width, height, fps = picture
    glib, gst = ctypes.CDLL("libglib-2.0.so.0"), ctypes.CDLL("libgstreamer-1.0.so.0")
    rtsp = ctypes.CDLL(library)
    for name in ("server_new", "media_factory_new", "auth_new", "token_new", "auth_make_basic"):
        getattr(rtsp, f"gst_rtsp_{name}").restype = _Pointer
    rtsp.gst_rtsp_server_get_mount_points.restype = _Pointer
    gst.gst_init(None, None)
    server = _Pointer(rtsp.gst_rtsp_server_new())
    rtsp.gst_rtsp_server_set_address(server, b"127.0.0.1")
    rtsp.gst_rtsp_server_set_service(server, port.encode())
    factory = _Pointer(rtsp.gst_rtsp_media_factory_new())
    rtsp.gst_rtsp_media_factory_set_launch(
        factory,
        "( videotestsrc is-live=true pattern=ball ! "
        f"video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! "
        "jpegenc ! rtpjpegpay name=pay0 pt=26 )".encode(),
    )
    rtsp.gst_rtsp_media_factory_set_shared(factory, 1)
    if account:
        _require(rtsp, server, factory, account)
    mounts = _Pointer(rtsp.gst_rtsp_server_get_mount_points(server))
    rtsp.gst_rtsp_mount_points_add_factory(mounts, b"/front", factory)
    if not rtsp.gst_rtsp_server_attach(server, None):
        raise SystemExit(f"port {port} is taken")
    sys.stdout.write(f"{rtsp.gst_rtsp_server_get_bound_port(server)}\n")
    sys.stdout.flush()
    glib.g_main_loop_new.restype = _Pointer
    glib.g_main_loop_run(_Pointer(glib.g_main_loop_new(None, 0)))


def _require(
    rtsp: ctypes.CDLL, server: ctypes.c_void_p, factory: ctypes.c_void_p, account: str
) -> None:
    """Lets in this user with this password only."""
    role, user = _Text(b"media.factory.role"), _Text(b"user")
    end, yes = _Pointer(None), ctypes.c_int(1)
    name, password = account.encode().split(b":", 1)
    token = _Pointer(rtsp.gst_rtsp_token_new(role, _STRING, user, end))
    basic = _Pointer(rtsp.gst_rtsp_auth_make_basic(name, password))
    auth = _Pointer(rtsp.gst_rtsp_auth_new())
    rtsp.gst_rtsp_auth_add_basic(auth, basic, token)
    rtsp.gst_rtsp_server_set_auth(server, auth)
    access, construct = _Text(b"media.factory.access"), _Text(b"media.factory.construct")
    rtsp.gst_rtsp_media_factory_add_role(
        factory, user, access, _BOOLEAN, yes, construct, _BOOLEAN, yes, end
    )


if __name__ == "__main__":
    main(*sys.argv[1:6], account="".join(sys.argv[6:]))
