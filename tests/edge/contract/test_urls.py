"""Secrets in a URL appear neither in messages nor in files."""

from __future__ import annotations

import pytest

from edge.contract.mission.checks.data_checks import DATA_CHECKS
from edge.contract.urls import text_without_secrets, without_secrets

SECRET = "hunter2"

HELD = {
    "https://me:hunter2@host/set.zip": "https://host/set.zip",
    "https://hunter2@host:8443/set.zip": "https://host:8443/set.zip",
    "https://me:p@hunter2@host/set.zip": "https://host/set.zip",
    "https://:hunter2@host": "https://host",
    "HTTPS://hunter2@host/set.zip": "HTTPS://host/set.zip",
    "https:/hunter2@host/set.zip?a=hunter2": "https:/host/set.zip",
    "ftp://hunter2@host/folder": "ftp://host/folder",
    "s3://AKIA:hunter2@bucket/folder": "s3://bucket/folder",
    "github://org:hunter2@main/folder": "github://main/folder",
    "https://host/set.zip?Signature=hunter2&Expires=1": "https://host/set.zip",
    "https://host/set.zip?X-Amz-Signature=hunter2": "https://host/set.zip",
    "https://host/set.zip?sv=2024&sig=hunter2": "https://host/set.zip",
    "https://host/set.zip?api_key=hunter2": "https://host/set.zip",
    "https://host/set.zip?key=hunter2": "https://host/set.zip",
    "https://host/set.zip?anything=hunter2": "https://host/set.zip",
    "https://host/set.zip?hunter2": "https://host/set.zip",
    "https://host/set.zip?dl=1&hunter2=": "https://host/set.zip?dl=1",
    "https://host/set.zip?dl=hunter2": "https://host/set.zip",
    "https://host?hunter2": "https://host",
    "https://host/set.zip#hunter2": "https://host/set.zip",
    "https://host/set.zip;token=hunter2": "https://host/set.zip",
    "https://host/a;hunter2/set.zip": "https://host/a/set.zip",
    "zip::https://hunter2@host/set.zip": "zip::https://host/set.zip",
    "zip://a.png?hunter2::https://host/s.zip": "zip://a.png::https://host/s.zip",
    "zip::simplecache::https://host/s.zip?sig=hunter2": "zip::simplecache::https://host/s.zip",
    "https://host/set.zip?sig=::hunter2": "https://host/set.zip",
}

OPEN = (
    "https://host:8443/a/b.zip",
    "https://host/set.zip?versionId=3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY",
    "gs://bucket/set.zip?generation=1360887697105000",
    "https://host/set.zip?dl=1&raw=true",
    "s3://bucket/folder/picture@2x.png",
    "abfs://container@account.dfs.core.windows.net/folder",
    "zip::simplecache::https://host/set.zip",
    "zip://::/home/me@work/set#1?.zip",
    "memory://folder",
    "/home/me@work/a?b;c#d/set",
    "C:\\data\\me@work",
    "C:/data/me@work?",
)


@pytest.mark.parametrize("given", HELD)
def test_what_opens_a_url_is_held_back(given: str) -> None:
    assert SECRET in given
    assert without_secrets(given) == HELD[given]


@pytest.mark.parametrize("given", OPEN)
def test_what_names_the_place_alone_stays(given: str) -> None:
    assert without_secrets(given) == given


def test_urls_in_messages_too() -> None:
    text = "403, url=URL('https://host/a.zip?sig=hunter2') at <s3://hunter2@b/c>, twice"
    assert text_without_secrets(text) == "403, url=URL('https://host/a.zip') at <s3://b/c>, twice"
    assert (
        text_without_secrets("no URL here: a::b, me@host?x=1") == "no URL here: a::b, me@host?x=1"
    )


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({"data": {"url": "https://host/set.zip?key=hunter2"}}, "data.url"),
        ({"data": {"url": "s3://hunter2@bucket/folder"}}, "data.url"),
        ({"data": {"root": "https://hunter2@host/folder"}}, "data.root"),
        ({"data": {"root": "/home/me/https:/hunter2@host/folder"}}, "data.root"),
        ({"data": {"also": [{"root": "s3:/hunter2@bucket"}]}}, "data.also[0].root"),
        ({"tracking": {"mlflow": "/home/me/https:/me:hunter2@host"}}, "tracking.mlflow"),
        ({"gates": {"labelled": "/home/https:/hunter2@host/a"}}, "gates.labelled"),
    ],
)
def test_a_mission_with_a_secret_is_refused_without_repeating_it(
    raw: dict[str, object], key: str
) -> None:
    said = [(where, text) for check in DATA_CHECKS for where, text in check(raw)]
    assert key in [where for where, _ in said]
    assert not any(SECRET in text for _, text in said)


def test_a_mission_without_one_is_not() -> None:
    raw = {"data": {"kind": "images", "url": "s3://bucket/folder"}, "gates": {"labelled": "/a/b"}}
    assert [text for check in DATA_CHECKS for _, text in check(raw)] == []
